"""Convolutions bit by bit: torch's sums, gradients right in the mean, the same on any processor."""

import os
from types import SimpleNamespace

import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from flow import tools
from flow.errors import UserError
from models import augment, bitwise
from models.ensemble import Students, statistics

STUDENT = {"input": "pixels", "convolutions": ((64, 128), (64,)), "kernel": 2, "hidden": (9,)}
BLOCKS = st.fixed_dictionaries(
    {
        "images": st.integers(1, 3),
        "channels": st.sampled_from([64, 128, 192, 320]),
        "outputs": st.sampled_from([64, 128]),
        "kernel": st.integers(1, 5),
        "more": st.tuples(st.integers(0, 5), st.integers(0, 5)),
        "pool": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)


@pytest.fixture(scope="module", autouse=True)
def several_threads():
    with bitwise.kernel_threads(3):
        yield


@pytest.fixture(scope="module")
def plain():
    """The kernels without AVX-512, in one thread."""
    return bitwise.compiled(["-march=x86-64" if "march" in f else f for f in bitwise.FLAGS])


def of(students: Students, **training) -> Students:
    """The same students, trained another way."""
    wanted = small.preset(student=STUDENT, training=training)
    other = Students(wanted, range(students.seeds))
    other.load_state_dict(students.state_dict())
    return other


@pytest.fixture
def students():
    found = Students(small.preset(student=STUDENT), (0, 1))
    random = torch.Generator().manual_seed(0)
    for norm in found.norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=random)
        norm.bias.data.normal_(0, 0.5, generator=random)
    return found


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (40, 2, 8, 8), dtype=torch.uint8, generator=random)


def gradients(students: Students, images: torch.Tensor, draw: int = 0):
    """Logits, and what a loss of them asks of the weights and of the norms."""
    students.rounding = [augment.generator(seed, 3, draw) for seed in range(students.seeds)]
    students.zero_grad()
    leaves = [weight.detach().requires_grad_() for weight in students.weights()]
    logits = students.train()(images, leaves)
    wanted = torch.sin(torch.arange(logits.numel())).view_as(logits)
    (logits * wanted).sum().backward()
    noted = [part.noted.pop() for part in statistics(students)]
    norms = [p.grad for norm in students.norms for p in (norm.weight, norm.bias)]
    return logits.detach(), noted, [*(leaf.grad for leaf in leaves), *norms]


@pytest.mark.parametrize("estimator", bitwise.ESTIMATORS)
def test_what_torch_computes(estimator, students, images):
    plainly, bits = (
        of(students, estimator=estimator),
        of(students, estimator=estimator, bitwise=True),
    )
    logits, noted, exact = gradients(plainly, images)
    draws = []
    for draw in range(200):
        own_logits, own_noted, found = gradients(bits, images, draw)
        assert torch.equal(own_logits, logits)
        for a, b in zip(own_noted, noted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        draws.append(found)
    for a, values in zip(exact, zip(*draws, strict=True), strict=True):
        each = torch.stack(values)
        error = each.std(0).max() / len(each) ** 0.5
        torch.testing.assert_close(each.mean(0), a, rtol=1e-3, atol=5 * float(error) + 1e-6)
        assert torch.corrcoef(torch.stack((each.mean(0).flatten(), a.flatten())))[0, 1] > 0.99


def test_an_evaluation_is_torchs(students, images):
    for part in statistics(students):
        part.settle(torch.rand(2, *part.running_mean.shape) * 50, 0.5)
    with torch.no_grad():
        expected = students.eval()(images)
        assert torch.equal(of(students, bitwise=True).eval()(images), expected)


def test_a_seed_alone_is_as_beside_another(students, images):
    both = of(students, bitwise=True).train()
    alone = Students(small.preset(student=STUDENT, training={"bitwise": True}), (1,)).train()
    alone.load_state_dict({k: v[1:] for k, v in both.state_dict().items()})
    found = []
    for network, own in ((both, images), (alone, images[:, 1:])):
        network.rounding = [augment.generator(s, 3) for s in range(2)][-network.seeds :]
        features = bitwise.features(network, own, network.weights())
        size = features.shape[1] // network.seeds
        wanted = torch.sin(torch.arange(len(own) * size)).view(-1, size)
        (features[:, -size:] * wanted).sum().backward()
        convolutions = [network.products[i] for i in range(network.convolutions)]
        norms = list(network.norms)[: network.convolutions]
        found.append([features[:, -size:], *(norm.noted[0][:, -1] for norm in norms)])
        found[-1] += [p.grad[-1] for part in (*convolutions, *norms) for p in part.parameters()]
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def drawn(block: dict, pixels: bool = False):
    """A convolution, its inputs, weights and a rounded gradient."""
    kernel, channels = block["kernel"], 3 if pixels else block["channels"]
    height, width = (kernel + 1 + more for more in block["more"])
    pool = block["pool"] and not pixels
    shape = bitwise.Shape(block["images"], height, width, channels, kernel, block["outputs"], pool)
    random = torch.Generator().manual_seed(block["seed"])

    def ints(low, high, *size, dtype):
        return torch.randint(low, high, size, generator=random, dtype=dtype)

    size = (shape.images, height, width)
    x = (
        ints(0, 256, *size, channels, dtype=torch.uint8)
        if pixels
        else ints(-(2**63), 2**63 - 1, *size, channels // 64, dtype=torch.int64)
    )
    weights = 2.0 * ints(0, 2, shape.outputs, channels, kernel, kernel, dtype=torch.float32) - 1
    values = ints(-127, 128, shape.images, *shape.sums, dtype=torch.int8)
    values *= ints(0, 3, *values.shape, dtype=torch.int8) == 0
    return shape, x, weights, values


def unpacked(x: torch.Tensor) -> torch.Tensor:
    """Bits or pixels as the floats that they stand for, (N, C, H, W)."""
    if x.dtype == torch.uint8:
        return x.permute(0, 3, 1, 2).double() - 128
    bits = (x[..., None] >> torch.arange(64)) & 1
    return (2.0 * bits - 1).flatten(3).permute(0, 3, 1, 2).double()


@pytest.mark.parametrize("processor", ["native", "plain"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(block=BLOCKS, pixels=st.booleans())
def test_kernels_are_exact(block, pixels, processor, plain):
    shape, x, weights, values = drawn(block, pixels)
    with pytest.MonkeyPatch.context() as patch:
        if processor == "plain":
            patch.setattr(bitwise, "kernels", lambda: plain)
        sums, where, by_output, _ = bitwise._sums(x, weights, bool(shape.pool), pixels)
        found = bitwise._Block(shape, x, by_output, sums, where, *[torch.empty(0)] * 4)
        at_inputs, at_weights = bitwise._gradients(found, values, 1.0)
    inputs = unpacked(x).requires_grad_()
    exact = weights.double().requires_grad_()
    expected = F.conv2d(inputs, exact)
    expected = F.max_pool2d(expected, 2) if shape.pool else expected
    assert torch.equal(sums.permute(0, 3, 1, 2).double(), expected)
    expected.backward(values.permute(0, 3, 1, 2).double())
    assert torch.equal(at_weights.double(), exact.grad)
    if not pixels:
        assert torch.equal(at_inputs.permute(0, 3, 1, 2).double(), inputs.grad)


def test_what_is_rounded_is_the_same_anywhere(plain, monkeypatch):
    shape, x, weights, _ = drawn(
        {
            "images": 60,
            "channels": 64,
            "outputs": 128,
            "kernel": 3,
            "more": (9, 10),
            "pool": True,
            "seed": 1,
        }
    )
    found = []
    for _ in range(2):
        sums, where, by_output, _ = bitwise._sums(x, weights, True, False)
        affine = [
            torch.linspace(low, high, 128)
            for low, high in ((0.01, 0.1), (-1, 1), (0.5, 1.5), (-0.5, 0.5))
        ]
        block = bitwise._Block(shape, x, by_output, sums, where, *affine)
        above = torch.sin(torch.arange(sums.numel())).view(sums.shape)
        values, unit, at_norm = bitwise._rounded(block, above, 1.0, 0, 7)
        found.append((bitwise._signs(block), values, unit, *at_norm))
        monkeypatch.setattr(bitwise, "kernels", lambda: plain)
    for a, b in zip(*found, strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    assert found[0][1].unique().numel() > 5


@pytest.mark.parametrize("signs", ["one", "two"])
def test_a_gradient_beyond_16_bits_stays_at_their_end(signs):
    shape = bitwise.Shape(1, 2, 2, 64, 2, 512, False)
    x = torch.zeros(1, 2, 2, 1, dtype=torch.int64)
    weights = torch.ones(512, 64, 2, 2)
    if signs == "two":
        weights[300:] = -1
    sums, where, by_output, _ = bitwise._sums(x, weights, False, False)
    block = bitwise._Block(shape, x, by_output, sums, where, *[torch.empty(0)] * 4)
    values = torch.full((1, 1, 1, 512), -127, dtype=torch.int8)
    at_inputs, _ = bitwise._gradients(block, values, 1.0)
    expected = -32767 if signs == "one" else -127 * (300 - 212)
    assert at_inputs.unique().tolist() == [expected]


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({}, "bitwise must be left out, but for convolutions of pixels, of 64, 128"),
        ({"student": STUDENT | {"padding": 1}}, "without padding"),
        (
            {"student": STUDENT, "training": {"estimator": "ede"}},
            "estimator is clipped or polynomial",
        ),
        ({"student": STUDENT, "training": {"pool_first": False}}, "unless pool_first is true"),
        ({"student": STUDENT, "training": {"compile": True}}, "left out where compile is true"),
    ],
)
def test_what_the_kernels_do_not_know_is_refused(sections, rule):
    training = sections.get("training", {}) | {"bitwise": True}
    with pytest.raises(UserError, match=rule):
        small.preset(**sections | {"training": training})


@pytest.mark.parametrize(("wanted", "threads"), [("5", 5), ("", 0), ("0", 0), ("2,1", 0)])
def test_kernels_take_the_threads_of_openmp_or_all_processors(wanted, threads, monkeypatch):
    number = SimpleNamespace(value=None)
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    monkeypatch.setattr(bitwise, "compiled", lambda flags: "library")
    monkeypatch.setattr(bitwise, "_threads_of", lambda library: number)
    assert bitwise.kernels.__wrapped__() == "library"
    assert number.value == (threads or len(os.sched_getaffinity(0)))


def test_threads_are_lent(plain):
    own, others = (bitwise._threads_of(library) for library in (bitwise.kernels(), plain))
    assert (own.value, others.value) == (3, 1)  # each library has its own
    with pytest.raises(KeyError), bitwise.kernel_threads(2):
        assert (own.value, others.value) == (2, 1)
        raise KeyError
    assert own.value == 3


def test_without_a_compiler_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(bitwise, "BUILD", tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="there is no no-such-compiler: `make setup`, or name one"):
        bitwise.compiled(bitwise.FLAGS)


def test_a_machine_that_only_trains_has_a_compiler_of_its_own(monkeypatch, tmp_path):
    def missing(*rest, **options):
        raise tools.ToolMissing("no tools here")

    used = []
    monkeypatch.setattr(bitwise, "BUILD", tmp_path)
    monkeypatch.setattr(tools, "run", missing)
    monkeypatch.setattr(bitwise.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(bitwise.subprocess, "run", lambda command, check: used.append(command))
    with pytest.raises(FileNotFoundError):  # nothing was compiled
        bitwise.compiled(bitwise.FLAGS)
    assert used[0][0] == "/usr/bin/g++" and str(bitwise.KERNELS / "sums.cpp") in used[0]
