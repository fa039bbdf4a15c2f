"""Presets: the four that exist, and what is said about wrong ones."""

from dataclasses import FrozenInstanceError, replace

import pytest

from flow.errors import UserError
from models import presets

GOOD = """
[data]
name = "digits"
[student]
hidden = [8, 8]
[training]
epochs = 2
batch_size = 32
learning_rate = 0.01
"""


def written(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_the_presets_that_exist_have_finns_topologies():
    hidden = {name: presets.load(name).student.hidden for name in presets.names()}
    assert hidden["mlp-digits"] == (64, 64, 64)
    assert hidden["tfc-mnist"] == (64, 64, 64)
    assert hidden["sfc-mnist"] == (256, 256, 256)
    assert hidden["lfc-mnist"] == (1024, 1024, 1024)


def test_entropy_adaptive_distillation_is_on_in_every_preset():
    for name in presets.names():
        distillation = presets.load(name).distillation
        assert distillation.temperature["form"] == "relative"
        assert distillation.alpha > 0


def test_digits_keep_a_layer_in_block_ram():
    styles = [v.get("ram_style") for v in presets.load("mlp-digits").hardware.folding.values()]
    assert "block" in styles


def test_defaults_and_types(tmp_path):
    preset = presets.read(written(tmp_path, GOOD))
    assert preset.name == "own"
    assert preset.teacher == presets.Teacher()
    assert preset.hardware.target_cycles is None
    with pytest.raises(FrozenInstanceError):
        preset.training.epochs = 3
    text = GOOD + "[hardware]\nclock_mhz = 50\n[hardware.folding.fc0]\nPE = 2\nSIMD = 4\n"
    hardware = presets.read(written(tmp_path, text)).hardware
    assert hardware.folding == {"fc0": {"PE": 2, "SIMD": 4}}
    assert isinstance(hardware.clock_mhz, float)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("epochs = 2", "epoch = 2", r"\[training\] key 'epoch' is unknown.*mean 'epochs'"),
        ("[student]", "[pupil]", r"section 'pupil' is unknown; known are data, student"),
        ("epochs = 2", "", r"\[training\] needs epochs"),
        ("epochs = 2", 'epochs = "2"', r"\[training\] epochs is '2'; it must be of type int"),
        ("epochs = 2", "epochs = true", r"epochs is True; it must be of type int"),
        ("epochs = 2", "epochs = 0", r"\[training\] epochs must be > 0"),
        ("[8, 8]", "[8, 8.5]", r"hidden\[1\] is 8.5; it must be of type int"),
        ("[8, 8]", "[]", r"\[student\] hidden must be a list of sizes > 0"),
        ("[8, 8]", "8", r"hidden is 8; it must be of type tuple"),
        ('"digits"', '"numbers"', r"\[data\] name must be one of digits, mnist, cifar10"),
        ("= 0.01", "= 0.0", r"learning_rate must be > 0"),
        ("[data]", "[data", r"not a TOML file"),
        ("[data]", "data = 3\n[x]", r"section 'x' is unknown"),
        ('[data]\nname = "digits"', "data = 3", r"data must be a table; write \[data\]"),
    ],
)
def test_wrong_files_are_refused(tmp_path, before, after, message):
    assert before in GOOD
    with pytest.raises(UserError, match=message) as caught:
        presets.read(written(tmp_path, GOOD.replace(before, after, 1)))
    assert "own.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[distillation]\nalpha = 1.5\n", r"\[distillation\] alpha must be in \[0, 1\]"),
        (
            '[distillation]\ntemperature = { form = "warm" }\n',
            r"\[distillation.temperature\] form 'warm' is unknown; known are relative, fixed",
        ),
        (
            '[distillation]\ntemperature = { form = "fixed", max = 3 }\n',
            r"'max' is unknown to form fixed; known are value",
        ),
        ("[hardware]\nfolding = { fc0 = 3 }\n", r"folding.fc0 is 3; it must be of type dict"),
        ("[teacher]\ndropout = 1\n", r"\[teacher\] dropout must be in \[0, 1\)"),
    ],
)
def test_wrong_sections_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        presets.read(written(tmp_path, GOOD + text))


def test_an_unknown_preset_is_refused_by_name():
    with pytest.raises(UserError, match=r"no preset 'tfc'; there are .*tfc-mnist"):
        presets.load("tfc")


def test_the_fingerprint_follows_training_but_not_hardware():
    preset = presets.load("mlp-digits")
    faster = replace(preset, hardware=replace(preset.hardware, target_cycles=8))
    longer = replace(preset, training=replace(preset.training, epochs=999))
    assert faster.fingerprint(0) == preset.fingerprint(0)
    assert longer.fingerprint(0) != preset.fingerprint(0)
    assert preset.fingerprint(1) != preset.fingerprint(0)
