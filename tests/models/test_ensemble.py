"""Students side by side: each equals its Brevitas network, and no seed touches another."""

from dataclasses import replace

import pytest
import small
import torch
from torch import nn

from models import binary, ensemble, students
from models.ensemble import LogitNorm, Norm, Students, best_of, initial

SEEDS = (0, 3, 8)
NETWORKS = {
    "binary MLP": {"hidden": (16, 12)},
    "MLP of pixels": {"hidden": (16, 12), "input": "pixels"},
    "convolutions of pixels": small.CONVOLUTIONS,
    "binary convolutions": small.CONVOLUTIONS | {"input": "binary", "hidden": (9, 8)},
    "separable convolutions of pixels": small.CONVOLUTIONS | {"padding": 1, "separable": True},
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def random_students(wanted, seeds=SEEDS) -> Students:
    """In evaluation, with norms as after some training, scales of both signs among them."""
    network = Students(wanted, seeds)
    torch.manual_seed(1)
    with torch.no_grad():
        for product, norm in zip(network.products, (*network.norms, network.norm), strict=True):
            variance = product.weight[0, 0].numel()
            if product is network.products[0] and network.pixels:
                variance *= 127**2 / 3
            norm.weight.copy_(torch.randn_like(norm.weight))
            norm.bias.copy_(torch.randn_like(norm.bias) / 3)
            norm.running_mean.copy_(torch.randn_like(norm.running_mean) * variance**0.5 / 3)
            norm.running_var.copy_(variance * (0.5 + torch.rand_like(norm.running_var)))
    network.constrain()
    return network.eval()


def images_of(wanted, seeds=3, count=300) -> torch.Tensor:
    torch.manual_seed(2)
    channels, height, width = students.DATASETS[wanted.data.name].shape
    shape = (count, seeds * channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def brevitas_of(network: Students, wanted, index: int) -> students.BinaryNetwork:
    alone = students.build(wanted)
    alone.load_state_dict(network.state_of(index))
    return alone.eval()


def sums_of(network: nn.Module, norm: nn.Module, images: torch.Tensor):
    """A network's output, and the sums of its last product, which stand in front of `norm`."""
    seen = []
    hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        logits = network(images)
    hook.remove()
    return logits, seen[0]


@every_network
@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("seeds", [SEEDS, (5,)])
def test_every_student_equals_its_brevitas_network(network, pool_first, seeds):
    """The sums of the last product, and with them all signs before, are equal bit for bit.

    The logits are equal up to rounding: their one scale is divided out in another order.
    """
    wanted = small.preset(student=network, training={"pool_first": pool_first})
    ours, images = random_students(wanted, seeds), images_of(wanted, len(seeds))
    logits, sums = sums_of(ours, ours.norm, images)
    assert logits.shape == (len(seeds), 300, 10)
    for i in range(len(seeds)):
        alone = brevitas_of(ours, wanted, i)
        channels = images.shape[1] // len(seeds)
        own = images[:, i * channels : (i + 1) * channels].float() / 255
        expected, whole = sums_of(alone, alone.layers.norm, own)
        assert torch.equal(sums[i], whole)
        assert torch.allclose(logits[i], expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(logits[i].argmax(-1), expected.argmax(-1))
    assert len(sums.unique()) > 5


@pytest.mark.parametrize("network", ["binary MLP", "binary convolutions"])
def test_every_activation_equals_that_of_the_brevitas_network(network, monkeypatch):
    wanted = small.preset(student=NETWORKS[network], training={"pool_first": False})
    ours, images = random_students(wanted), images_of(wanted)
    activations, real = [], binary.sign

    def sign(x, *rest):
        out = real(x, *rest)
        activations.extend([out] if len(out) == len(images) else [])  # others are weights
        return out

    monkeypatch.setattr(binary, "sign", sign)
    with torch.no_grad():
        ours(images)
    assert len(activations) == 1 + len(ours.norms)
    for i in range(len(SEEDS)):
        alone, seen = brevitas_of(ours, wanted, i), []
        for name in ("sign_in", *(f"sign{k}" for k in range(len(ours.norms)))):
            part = alone.layers.get_submodule(name)
            part.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
        with torch.no_grad():
            alone(images[:, i : i + 1].float() / 255)
        assert torch.equal(seen[0][:, 0] == 1, images[:, i] >= 128)
        for found, expected in zip(activations, seen, strict=True):
            assert torch.equal(found.chunk(len(SEEDS), 1)[i], expected)


def test_the_pool_moves_only_where_scales_are_positive():
    """What `constrain` is for: a negative scale turns the largest into the smallest."""
    wanted = small.preset(student=small.CONVOLUTIONS)
    after = replace(wanted, training=replace(wanted.training, pool_first=False))
    one, other = random_students(wanted), random_students(after)
    images = images_of(wanted)
    assert one.pooled == {1}
    assert torch.equal(one(images), other(images))
    with torch.no_grad():
        for network in (one, other):
            network.norms[1].weight.neg_()
    assert not torch.equal(one(images), other(images))
    one.constrain()
    assert (one.norms[1].weight == ensemble.SMALLEST_SCALE).any()
    assert (one.norms[0].weight < 0).any()


def test_a_step_out_of_bounds_is_taken_back():
    fixed = Students(small.preset(), SEEDS)
    learned = Students(small.preset(training={"clipping": "learned"}), SEEDS)
    scaled = Students(small.preset(training={"weights": "standardised"}), SEEDS)
    with torch.no_grad():
        for network in (fixed, learned, scaled):
            network.norm.weight.fill_(-2)
            for product in network.products:
                product.weight.mul_(5)
        learned.products[0].bound.copy_(torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1))
    for network in (fixed, learned, scaled):
        network.constrain()
        assert (network.norm.weight == ensemble.SMALLEST_SCALE).all()
    assert fixed.products[0].weight.abs().max() == 1
    assert learned.products[0].bound.flatten().tolist() == pytest.approx([0.05, 0.5, 2.0])
    assert learned.products[0].weight.abs().max() > 4  # what lies outside moves the bound
    assert scaled.products[0].weight.abs().max() > 4  # these have no bound


@every_network
def test_the_exported_state_is_a_copy_of_signs_under_the_brevitas_names(network):
    wanted = small.preset(student=network)
    ours = random_students(wanted)
    state = ours.state_of(1)
    expected = students.build(wanted).state_dict()
    assert state.keys() == expected.keys()
    assert [x.shape for x in state.values()] == [expected[n].shape for n in state]
    for name, value in state.items():
        if name.endswith("weight") and "norm" not in name:
            assert value.abs().eq(1).all()
        value.zero_()
    assert all(product.weight.any() for product in ours.products)
    assert ours.norms[0].weight.all()


def test_float_weights_are_clipped_and_binary_ones_are_signs():
    learned = Students(small.preset(training={"clipping": "learned"}), SEEDS).products[0]
    with torch.no_grad():
        learned.bound.fill_(0.5)
    floats = learned.used(False, 0.0)
    assert torch.allclose(floats, (2 * learned.weight).clamp(-1, 1))
    assert floats.abs().max() == 1 and floats.unique().numel() > 100
    signs = learned.used(True, 0.0)
    assert signs.abs().eq(1).all() and torch.equal(signs > 0, learned.weight >= 0)
    centred = Students(small.preset(training={"weights": "centred"}), SEEDS).products[0]
    with torch.no_grad():
        centred.weight.abs_()
    assert 0.3 < (centred.used(True, 0.0) > 0).float().mean() < 0.7


def test_initial_weights_belong_to_a_seed_and_a_part():
    assert torch.equal(initial(3, 1, 4, 5), initial(3, 1, 4, 5))
    drawn = {initial(seed, part, 6).numpy().tobytes() for seed in range(9) for part in range(9)}
    assert len(drawn) == 81
    wide = initial(0, 0, 100_000, bound=2.0)
    assert wide.abs().max() <= 2
    assert abs(wide.mean()) < 0.02 and abs(wide.var() - 4 / 3) < 0.02
    start, small_start = (
        Students(small.preset(training={"initial": bound}), SEEDS).products[0].weight
        for bound in (1.0, 0.1)
    )
    assert torch.allclose(small_start, start / 10)


@every_network
def test_a_students_start_does_not_depend_on_the_seeds_beside_it(network):
    wanted = small.preset(student=network, training={"clipping": "learned"})
    together, alone = Students(wanted, (5, 3, 9)), Students(wanted, (3,))
    for (name, many), one in zip(
        together.state_dict().items(), alone.state_dict().values(), strict=True
    ):
        assert torch.equal(many[1], one[0]), name
    first = together.products[0].weight
    assert not torch.equal(first[0], first[1])


@every_network
def test_the_gradient_of_one_seed_reaches_no_other(network):
    wanted = small.preset(student=network, training={"clipping": "learned", "weights": "centred"})
    ours = Students(wanted, SEEDS).train()
    with torch.no_grad():
        for product in ours.products:
            product.bound.fill_(0.9)
    logits = ours(images_of(wanted))
    (logits[1] * torch.randn_like(logits[1])).sum().backward()
    for name, parameter in ours.named_parameters():
        assert not parameter.grad[[0, 2]].any(), name
        assert parameter.grad[1].any(), name


@every_network
def test_students_side_by_side_are_as_students_alone_up_to_rounding(network):
    wanted = small.preset(student=network)
    images = images_of(wanted)
    together, alone = Students(wanted, SEEDS).train(), Students(wanted, SEEDS[1:2]).train()
    logits, single = together(images), alone(images[:, 1:2])
    assert torch.allclose(logits[1], single[0], atol=1e-5)
    logits.square().sum().backward()
    single.square().sum().backward()
    for (name, many), one in zip(together.named_parameters(), alone.parameters(), strict=True):
        assert torch.allclose(many.grad[1], one.grad[0], rtol=1e-3, atol=1e-3), name


def test_a_norm_is_torchs_batch_norm_of_each_seed():
    norm, plain = Norm(2, 3), nn.BatchNorm1d(6)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(2, 3))
        norm.bias.copy_(torch.randn(2, 3))
        plain.weight.copy_(norm.weight.view(-1))
        plain.bias.copy_(norm.bias.view(-1))
    for _ in range(3):
        x = 2 * torch.randn(20, 6) + 1
        assert torch.allclose(norm(x), plain(x), atol=1e-6)
        norm.settle(norm.noted.pop(), norm.momentum)
    assert torch.allclose(norm.running_mean.view(-1), plain.running_mean, atol=1e-6)
    assert torch.allclose(norm.running_var.view(-1), plain.running_var, atol=1e-6)
    assert torch.allclose(norm.eval()(x), plain.eval()(x), atol=1e-6)
    assert not norm.noted  # evaluation notes nothing


def test_the_logit_norm_is_the_scalar_norm_of_each_seed():
    norm, plain = LogitNorm(2), [students.ScalarNorm(), students.ScalarNorm()]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0]))
        norm.bias.copy_(torch.tensor([1.0, -1.0]))
        for i, one in enumerate(plain):
            one.weight.copy_(norm.weight[i])
            one.bias.copy_(norm.bias[i])
    for _ in range(3):
        x = 4 * torch.randn(2, 30, 10) + 3
        expected = torch.stack([one(x[i]) for i, one in enumerate(plain)])
        assert torch.allclose(norm(x), expected, atol=1e-5)
        norm.settle(norm.noted.pop(), norm.momentum)
    for i, one in enumerate(plain):
        assert norm.running_mean[i].item() == pytest.approx(one.running_mean.item(), rel=1e-5)
        assert norm.running_var[i].item() == pytest.approx(one.running_var.item(), rel=1e-5)


def test_of_two_states_each_seed_keeps_the_better():
    old = {"a": torch.zeros(3, 2), "b": torch.zeros(3)}
    new = {"a": torch.ones(3, 2), "b": torch.ones(3)}
    kept = best_of(torch.tensor([True, False, True]), new, old)
    assert kept["a"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert kept["b"].tolist() == [1, 0, 1]
