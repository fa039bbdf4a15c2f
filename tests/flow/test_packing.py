"""Bit order: words against sums and loops written out, and every packing against its inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from flow.rtl import packing

FOLDED = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))


@st.composite
def elements(draw):
    """(values (words, n), bits, signed) with every value in range."""
    bits, signed = draw(st.integers(1, 32)), draw(st.booleans())
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    n = draw(st.integers(1, 6))
    row = st.lists(st.integers(low, high), min_size=n, max_size=n)
    return np.array(draw(st.lists(row, min_size=1, max_size=4))), bits, signed


@settings(deadline=None, derandomize=True)
@given(elements())
def test_a_word_is_the_sum_of_its_shifted_elements(case):
    values, bits, signed = case
    words = packing.pack(values, bits)
    for word, row in zip(packing.hex_lines(words), values.tolist(), strict=True):
        assert int(word, 16) == sum((v % (1 << bits)) << (i * bits) for i, v in enumerate(row))
    assert (packing.unpack(words, bits, signed) == values).all()


def test_element_0_is_in_the_least_significant_bits():
    assert packing.hex_lines(packing.pack(np.array([[1, 2, 15]]), 4)) == ["f21"]
    assert packing.hex_lines(packing.pack(np.array([[1, 0, 0, 0, 0]]), 1)) == ["01"]
    assert packing.hex_lines(packing.pack(np.array([[-1, 1]]), 3)) == ["0f"]


@settings(deadline=None, derandomize=True)
@given(FOLDED, st.integers(0, 2**32 - 1))
def test_matrix_words_follow_the_rule_bit_by_bit(shape, seed):
    NF, PE, SF, SIMD = shape
    weights = np.random.default_rng(seed).integers(0, 2, (NF * PE, SF * SIMD), dtype=np.uint8)
    words = packing.matrix_words(weights, PE, SIMD)
    assert words.shape == (NF * SF, PE * SIMD)
    for h, w in np.ndindex(weights.shape):
        nf, pe, sf, simd = h // PE, h % PE, w // SIMD, w % SIMD
        assert words[nf * SF + sf, pe * SIMD + simd] == weights[h, w]
    assert (packing.matrix_from_words(words, NF * PE, SF * SIMD, PE, SIMD) == weights).all()


@settings(deadline=None, derandomize=True)
@given(FOLDED, st.integers(0, 2**32 - 1))
def test_depthwise_words_follow_the_rule_bit_by_bit(shape, seed):
    folds, PE, groups, SIMD = shape
    weights = np.random.default_rng(seed).integers(0, 2, (folds * PE, groups * SIMD))
    words = packing.depthwise_words(weights, PE, SIMD)
    assert words.shape == (folds * groups, PE * SIMD)
    for c, k in np.ndindex(weights.shape):
        f, pe, group, simd = c // PE, c % PE, k // SIMD, k % SIMD
        address = f * groups + group if SIMD > 1 else group * folds + f
        assert words[address, pe * SIMD + simd] == weights[c, k]


@settings(deadline=None, derandomize=True)
@given(FOLDED, st.booleans(), st.integers(0, 2**32 - 1))
def test_threshold_words_follow_the_rule(shape, signed, seed):
    folds, PE, levels, in_bits = shape
    low, high = packing.threshold_range(in_bits, signed)
    rng = np.random.default_rng(seed)
    thresholds = np.sort(rng.integers(low - 3, high + 4, (folds * PE, levels)), axis=1)
    words = packing.threshold_words(thresholds, PE, in_bits, signed)
    clipped = np.clip(thresholds, low, high)
    for c, level in np.ndindex(thresholds.shape):
        position = (c % PE * levels + level) * (in_bits + 1)
        field = words[c // PE, position : position + in_bits + 1]
        value = sum(int(bit) << i for i, bit in enumerate(field))
        assert value == int(clipped[c, level]) % (1 << (in_bits + 1))
    back = packing.thresholds_from_words(words, levels, in_bits, signed)
    assert (back == clipped).all()


@pytest.mark.parametrize("signed", [False, True])
def test_clipping_a_threshold_changes_no_result(signed):
    bits = 3
    low, high = packing.threshold_range(bits, signed)
    inputs = np.arange(low, high)
    for threshold in range(low - 4, high + 5):
        clipped = min(max(threshold, low), high)
        assert ((inputs >= threshold) == (inputs >= clipped)).all()


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_hex_is_read_back(depth, width, seed):
    words = np.random.default_rng(seed).integers(0, 2, (depth, width), dtype=np.uint8)
    lines = packing.hex_lines(words)
    assert all(len(line) == -(-width // 4) for line in lines)
    assert (packing.from_hex(lines, width) == words).all()


def test_a_memory_file_is_read_back_and_a_wrong_one_refused(tmp_path):
    words = np.eye(3, 5, dtype=np.uint8)
    path = tmp_path / "w.mem"
    path.write_text(packing.mem_text(words))
    assert path.read_text() == "01\n02\n04\n"
    assert (packing.read_mem(path, 3, 5) == words).all()
    with pytest.raises(UserError, match="3 words, 4 expected"):
        packing.read_mem(path, 4, 5)
    path.write_text("01\n02\nff\n")
    with pytest.raises(UserError, match="not a memory file of 5 bits"):
        packing.read_mem(path, 3, 5)
    path.write_text("01\n02\nzz\n")
    with pytest.raises(UserError, match="not a memory file"):
        packing.read_mem(path, 3, 5)


def test_beats_follow_pixels_then_channels():
    image = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4) % 8
    words = packing.beats(image, 2, 3)
    assert words.shape == (1, 12, 6)
    assert packing.unpack(words, 3).reshape(-1).tolist() == image.reshape(-1).tolist()
