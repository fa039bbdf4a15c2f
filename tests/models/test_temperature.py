"""What every temperature controller must do, and what `build` refuses."""

import pytest
import torch

from flow.errors import UserError
from models import losses
from models.temperature import FORMS, Observation, Temperature, build

CURVE = {"replay": [5.0, 2.5, 3.0], "shuffled": [5.0, 2.5, 3.0]}
OPTIONS = [{"form": form, **({"curve": CURVE[form]} if form in CURVE else {})} for form in FORMS]
OPTIONS += [
    {"form": form, "per_sample": True}
    for form in ("relative", "absolute_exponential", "absolute_linear", "teacher_only")
]
OPTIONS += [{"form": "relative", "gamma": 1.7}]
NAMES = [" ".join(str(value) for value in options.values()) for options in OPTIONS]
every_form = pytest.mark.parametrize("options", OPTIONS, ids=NAMES)


def batches(*leading: int, steps: int = 4) -> list[Observation]:
    """Observations of networks that grow surer, the teacher first."""
    generator = torch.Generator().manual_seed(1)
    return [
        Observation(
            torch.randn(*leading, 10, generator=generator) * (1 + 2 * step),
            torch.randn(*leading, 10, generator=generator) * (1 + step),
            torch.randint(0, 10, leading, generator=generator),
            step,
            steps,
        )
        for step in range(steps)
    ]


def of_seed(seen: Observation, k: int) -> Observation:
    return Observation(seen.teacher[k], seen.student[k], seen.labels[k], seen.step, seen.steps)


@every_form
def test_shapes_bounds_and_no_state_outside_the_state_dict(options):
    controller = build(options, seeds=(3,))
    before = {name: x for name, x in vars(controller).items() if not name.startswith("_")}
    for seen in batches(3, 20):
        for temperature in controller(seen):
            assert temperature.dtype == torch.float32
            assert temperature.shape in ((3, 1, 1), (3, 20, 1))
            assert (temperature > 0).all() and temperature.isfinite().all()
        assert controller.distance.shape == (3,)
        assert (controller.distance >= 0).all() and (controller.distance <= 1).all()
    after = {name: x for name, x in vars(controller).items() if not name.startswith("_")}
    assert after == before
    assert all(x.shape == (3,) for x in controller.state_dict().values())


@every_form
@pytest.mark.parametrize("seeds", [2, 9])
def test_seeds_side_by_side_equal_each_alone_bit_for_bit(options, seeds):
    together, alone = build(options, seeds=(seeds,)), [build(options) for _ in range(seeds)]
    for seen in batches(seeds, 37):
        whole = together(seen)
        for k, controller in enumerate(alone):
            for both, single in zip(whole, controller(of_seed(seen, k)), strict=True):
                assert torch.equal(both[k], single)
            for name, value in controller.state_dict().items():
                assert torch.equal(together.state_dict()[name][k], value), name


@every_form
def test_an_interrupted_run_goes_on_with_the_same_numbers(options):
    whole, first, second = (build(options, seeds=(2,)) for _ in range(3))
    observations = batches(2, 20)
    for seen in observations[:2]:
        whole(seen)
        first(seen)
    second.load_state_dict(first.state_dict())
    for seen in observations[2:]:
        for a, b in zip(whole(seen), second(seen), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(whole.distance, second.distance)


@every_form
def test_nothing_is_read_back_from_the_device(options):
    """Meta tensors have no values: a controller that asked for one would fail here."""
    controller = build(options, seeds=(2,)).to("meta")
    for seen in batches(2, 20):
        away = Observation(
            *(x.to("meta") for x in (seen.teacher, seen.student, seen.labels)),
            seen.step,
            seen.steps,
        )
        for temperature in controller(away):
            assert temperature.device.type == "meta"


@every_form
def test_the_losses_take_what_the_controller_gives(options):
    seen = batches(3, 20)[1]
    softness = build(options, seeds=(3,))(seen)
    for shard in range(2):
        part = slice(10 * shard, 10 * shard + 10)
        loss = losses.student_loss(
            student=seen.student[:, part],
            teacher=seen.teacher[:, part],
            labels=seen.labels[:, part],
            softness=softness.shard(shard, 2),
            alpha=0.5,
        )
        assert loss.shape == (3,) and loss.isfinite().all()


def test_the_entropies_are_those_at_t_1():
    seen = batches(2, 5)[2]
    assert torch.equal(seen.teacher_entropy, losses.normalised_entropy(seen.teacher))
    assert torch.equal(seen.student_entropy, losses.normalised_entropy(seen.student))


def test_a_controller_must_not_see_gradients():
    free, bound = torch.randn(2, 3), torch.randn(2, 3, requires_grad=True)
    labels = torch.tensor([0, 1])
    for teacher, student in ((free, bound), (bound, free)):
        with pytest.raises(ValueError, match="detach"):
            Observation(teacher, student, labels, 0, 1)


@every_form
def test_build_gives_the_class_of_the_form(options):
    controller = build(options)
    assert type(controller) is FORMS[options["form"]]
    assert isinstance(controller, Temperature)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "warm"}, "form 'warm' is unknown; known are relative, absolute_exponential,"),
        ({}, "form None is unknown"),
        ({"form": "relative", "kappa": 2}, "'kappa' is unknown to form relative; known are min"),
        ({"form": "relative", "seeds": 2}, "'seeds' is unknown to form relative"),
        ({"form": "relative", "minimum": 9}, "0 < minimum <= maximum"),
        ({"form": "absolute_linear", "minimum": 0}, "0 < minimum <= maximum"),
        ({"form": "relative", "gamma": 0}, "gamma must be > 0"),
        ({"form": "relative", "momentum": 1.0}, "momentum must be in"),
        ({"form": "relative", "per_sample": 1}, "per_sample is 1; it must be true or false"),
        ({"form": "absolute_exponential", "kappa": 0}, "kappa must be > 0"),
        ({"form": "absolute_linear", "full": 0}, "full must be > 0"),
        ({"form": "matching", "start": 9}, "start must lie between minimum and maximum"),
        ({"form": "matching", "rate": 0}, "rate must be > 0"),
        ({"form": "fixed", "value": "hot"}, "value is 'hot'; it must be a number"),
        ({"form": "fixed", "value": True}, "must be a number"),
        ({"form": "fixed", "value": 0}, "value must be > 0"),
        ({"form": "cosine_up", "minimum": 9}, "0 < minimum <= maximum"),
        ({"form": "replay"}, "form replay needs 'curve'"),
        ({"form": "replay", "curve": []}, r"curve is \[\]; it must be a list of numbers"),
        ({"form": "replay", "curve": [2, "hot"]}, "must be a list of numbers"),
        ({"form": "replay", "curve": [2, 0]}, "each value of curve must be > 0"),
        ({"form": "shuffled", "curve": [2, float("nan")]}, "each value of curve must be > 0"),
        ({"form": "shuffled", "curve": [2], "seed": 0.5}, "seed is 0.5; it must be a whole"),
        ({"form": "ctkd", "minimum": 0}, "minimum must be > 0"),
        ({"form": "ctkd", "span": -1}, "span must be >= 0"),
        ({"form": "ctkd", "share": 0}, "share must be in"),
        ({"form": "dtkd", "tau": 0}, "tau must be > 0"),
        ({"form": "dtkd", "floor": 0}, "floor must be > 0"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        build(options)


def test_a_curve_longer_than_the_training_is_refused():
    options = {"form": "replay", "curve": [4.0, 3.0, 2.0]}
    build(options, steps=3)
    with pytest.raises(UserError, match="curve has 3 values for 2 steps"):
        build(options, steps=2)
