"""Packing and unpacking of the driver against flow.shell.layout, and the time they take."""

import test_driver_model  # noqa: F401  puts the driver on the path

# isort: split
import numpy as np
import pytest
from hanbit_board.errors import ImagesError
from hanbit_board.layout import Images, Results
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.shell import layout


@st.composite
def inputs(draw) -> Images:
    bits = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 16, 24, 32]))
    return Images(
        shape=(0,),
        elements=draw(st.integers(1, 130)),
        bits=bits,
        memory_bits=draw(st.sampled_from([1, bits])),
        beats=draw(st.integers(1, 20)),
        signed=bits > 1 and draw(st.booleans()),
    )


@settings(deadline=None, derandomize=True, max_examples=150)
@given(inputs(), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_packing_equals_the_flow(found, count, seed):
    found = Images(**vars(found) | {"shape": (found.elements * found.beats,)})
    reference = layout.Input(found.elements, found.bits, found.memory_bits, found.beats)
    assert (found.slot, found.words) == (reference.slot, reference.words)
    low, high = -(found.signed << (found.bits - 1)), 1 << (found.bits - found.signed)
    rng = np.random.default_rng(seed)
    images = rng.integers(low, high, (count, found.size), np.int64)
    images[:, ::3] = 0
    packed = found.pack(found.fold(images))
    expected = reference.pack(images.astype(found.dtype))
    assert np.array_equal(packed, expected.view(np.uint8).reshape(count, -1))


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from([8, 16, 32, 64]), st.booleans(), st.integers(1, 12), st.integers(1, 5),
    st.integers(0, 30), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_unpacking_equals_the_flow(bits, signed, elements, beats, count, seed):
    found = Results("scores", elements, bits, bits, signed, beats)
    reference = layout.Output(elements, bits, bits, signed, beats)
    memory = np.random.default_rng(seed).integers(0, 256, count * found.bytes + 8, np.uint8)
    unpacked = found.unpack(memory, count)
    assert unpacked.dtype == reference.dtype
    assert np.array_equal(unpacked, reference.unpack(memory, count))
    before = unpacked.copy()
    memory[:] += 1  # the buffer's next batch
    assert np.array_equal(unpacked, before)


def test_no_image_packs_to_nothing():
    for memory_bits in (8, 1, 3):
        found = Images((10,), 5, max(memory_bits, 8), memory_bits, 2)
        assert found.pack(found.fold(np.zeros((0, 10), np.uint8))).shape == (0, found.bytes)


def test_several_chunks_are_packed_as_one():
    found = Images((784,), 49, 8, 1, 16)
    images = np.random.default_rng(1).integers(0, 3, (3000, 784), np.uint8)
    assert np.array_equal(found.pack(found.fold(images)), layout.Input(49, 8, 1, 16).pack(images))


def test_pixels_that_reach_the_threshold_are_ones():
    found = Images((28, 28, 1), 49, 1, 1, 16, threshold=128)
    images = np.random.default_rng(2).integers(0, 256, (20, 28, 28), np.uint8)
    expected = layout.Input(49, 1, 1, 16).pack((images >= 128).astype(np.uint8))
    assert np.array_equal(found.pack(found.fold(images)), expected)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9), np.uint8),
        np.zeros(10, np.uint8),
        np.zeros((2, 10)),
        np.full((2, 10), 8),
        np.full((2, 10), -1),
    ],
)
def test_images_that_do_not_fit_are_refused(images):
    with pytest.raises(ImagesError, match=r"needed|legal"):
        Images((10,), 5, 3, 3, 2).fold(images)
