"""The arms: legal presets that differ where they should, and in an order that can run."""

from dataclasses import replace

import pytest

from flow.errors import UserError
from models import arms, presets, temperature


@pytest.fixture(scope="module")
def preset():
    return presets.load("mlp-digits")


def variants(preset):
    chosen = arms.select(preset, ["all"])
    return {name: arm.variant(preset, (8.0, 4.0, 2.0)) for name, arm in chosen.items()}


@pytest.mark.parametrize("mode", ["online", "frozen", "none"])
def test_every_arm_is_a_preset_of_its_own(preset, mode):
    mine = replace(preset, distillation=replace(preset.distillation, mode=mode))
    found = variants(mine)
    prints = {name: variant.fingerprint(0, 1) for name, variant in found.items()}
    assert len(set(prints.values())) == len(found) >= 40
    for name, variant in found.items():
        assert replace(variant, distillation=mine.distillation) == mine, name


@pytest.mark.parametrize("mode", ["online", "frozen"])
def test_the_preset_says_the_mode_and_the_name_another(preset, mode):
    other = {"online": "frozen", "frozen": "online"}[mode]
    found = variants(replace(preset, distillation=replace(preset.distillation, mode=mode)))
    for name, variant in found.items():
        wanted = "none" if name == arms.NONE else other if name.startswith(other) else mode
        assert variant.distillation.mode == wanted, name
    for name in ("gate", "mutual"):
        assert (name if mode == "online" else f"online_{name}") in found


def test_every_form_of_temperature_has_an_arm(preset):
    used = {v.distillation.temperature["form"] for v in variants(preset).values()}
    assert used == set(temperature.FORMS)


def test_fixed_and_adaptive_have_the_same_budget(preset):
    families = [arm.family for arm in arms.select(preset, ["standard"]).values()]
    assert families.count("fixed") == families.count("adaptive") == 5


def test_groups_hold_what_they_promise(preset):
    assert set(arms.select(preset, ["main"])) == set(arms.MAIN)
    assert len(arms.MAIN) == 5
    assert set(arms.MAIN) < set(arms.select(preset, ["standard"])) == set(arms.STANDARD)


def test_an_arm_brings_the_one_it_follows_and_comes_after_it(preset):
    assert list(arms.select(preset, ["shuffled", "none"])) == ["none", "relative", "shuffled"]
    order = list(arms.select(preset, ["frozen_replay"]))
    assert order == ["frozen_relative", "frozen_replay"]
    order = list(arms.select(preset, ["all"]))
    for name, arm in arms.catalogue(preset).items():
        assert arm.follows is None or order.index(arm.follows) < order.index(name)


def test_replay_carries_the_recorded_curve(preset):
    variant = arms.catalogue(preset)["replay"].variant(preset, (8.0, 3.5))
    assert variant.distillation.temperature == {"form": "replay", "curve": [8.0, 3.5]}


def test_an_unknown_arm_is_named(preset):
    with pytest.raises(UserError, match=r"no arm 'fixed_3'; there are the groups main, standard"):
        arms.select(preset, ["none", "fixed_3"])


def test_an_arm_that_the_preset_does_not_allow_is_named(preset):
    low = replace(preset, distillation=replace(preset.distillation, alpha=0.05))
    with pytest.raises(UserError, match=r"arm alpha_follows: .*alpha_minimum"):
        arms.select(low, ["alpha_follows"])
