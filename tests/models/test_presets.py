"""Presets: those that exist, and what is said about wrong ones."""

from dataclasses import FrozenInstanceError, replace

import pytest

from flow.errors import UserError
from models import presets, zoo

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
    students = {name: presets.load(name).student for name in presets.names()}
    assert students["mlp-digits"].hidden == (64, 64, 64)
    assert students["tfc-mnist"].hidden == (64, 64, 64)
    assert students["sfc-mnist"].hidden == (256, 256, 256)
    assert students["lfc-mnist"].hidden == (1024, 1024, 1024)
    assert students["cnv-cifar10"].convolutions == ((64, 64), (128, 128), (256, 256))
    assert students["cnv-cifar10"].hidden == (512, 512)
    assert {n: s.input for n, s in students.items()} == {
        **dict.fromkeys(("mlp-digits", "tfc-mnist", "sfc-mnist", "lfc-mnist"), "binary"),
        **dict.fromkeys(
            ("conv-mnist", "cnv-cifar10", "depthwise-digits", "residual-mnist"), "pixels"
        ),
        "tfc-mnist-fast": "binary",
        "cnv-cifar10-small": "pixels",
    }


def test_other_hardware_for_the_weights_of_another_preset(tmp_path):
    text = 'description = "fast"\nweights_of = "tfc-mnist"\n[hardware]\npacked = true\n'
    fast, tfc = presets.read(written(tmp_path, text)), presets.load("tfc-mnist")
    assert fast.fingerprint(3) == tfc.fingerprint(3) and fast.name == "tfc-mnist"
    assert fast.hardware == presets.Hardware(packed=True) != tfc.hardware
    for wrong, says in (
        (text.replace("tfc-mnist", "tfc-mnist-fast"), "has no weights of its own"),
        (text.replace("tfc-mnist", "tfc"), "no preset 'tfc'"),
        (text + "[training]\nepochs = 3\n", "with weights_of, section 'training' is unknown"),
    ):
        with pytest.raises(UserError, match=says):
            presets.read(written(tmp_path, wrong))


def test_every_kept_student_was_distilled():
    for name in filter(zoo.find, presets.names()):
        distillation = presets.load(name).distillation
        assert distillation.mode != "none" and distillation.alpha > 0, name


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
        ("= 32", "= 33", r"batch_size must be a multiple of shards \(2\), more than one image"),
        ("= 32", "= 2", r"batch_size must be a multiple of shards \(2\), more than one image"),
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
        ('[student]\ninput = "grey"', r"\[student\] input must be binary or pixels"),
        ("[student]\nconvolutions = [[8], []]", r"\[student\] convolutions must be lists of sizes"),
        ("[student]\nconvolutions = [8]", r"convolutions\[0\] is 8; it must be of type tuple"),
        (
            "[student]\nconvolutions = [[8, 8], [8]]",
            r"\[student\] convolutions: block 1 leaves a map of 0 x 0 pixels",
        ),
        ("[student]\nkernel = 0", r"\[student\] kernel must be > 0"),
        ("[teacher]\nhidden = []", r"\[teacher\] hidden must be a list of sizes > 0"),
        ("[teacher]\nconvolutions = [0]", r"\[teacher\] convolutions must be a list of sizes > 0"),
        ("[teacher]\ndropout = 1", r"\[teacher\] dropout must be in \[0, 1\)"),
        ("[teacher]\nepochs = 0", r"\[teacher\] epochs must be > 0"),
        ("[teacher]\nlearning_rate = 0", r"\[teacher\] learning_rate must be > 0"),
        ("[teacher]\nweight_decay = -1", r"\[teacher\] weight_decay must be >= 0"),
        ('[distillation]\nmode = "off"', r"\[distillation\] mode must be online, frozen or none"),
        ("[distillation]\nalpha = 1.5", r"\[distillation\] alpha must be in \[0, 1\]"),
        (
            "[distillation]\nalpha = 0.5\nalpha_minimum = 0.6",
            r"\[distillation\] alpha_minimum must be in \[0, alpha\]",
        ),
        ("[distillation]\nbeta = -1", r"\[distillation\] beta must be >= 0"),
        ('[distillation]\nloss = "mse"', r"\[distillation\] loss must be kl or dkd"),
        ("[distillation]\ndkd_beta = -1", r"\[distillation\] dkd_beta must be >= 0"),
        ("[distillation]\nteacher_strength = -1", r"teacher_strength must be >= 0"),
        ("[distillation]\ngate = 1", r"\[distillation\] gate is 1; it must be of type bool"),
        (
            '[distillation]\ntemperature = { form = "warm" }',
            r"\[distillation.temperature\] form 'warm' is unknown; known are relative",
        ),
        (
            '[distillation]\ntemperature = { form = "fixed", max = 3 }',
            r"'max' is unknown to form fixed; known are value",
        ),
        ("[augmentation]\nshift = 8", r"\[augmentation\] shift must be in \[0, 8\)"),
        ("[augmentation]\nshift = -1", r"\[augmentation\] shift must be in \[0, 8\)"),
        ("[augmentation]\nrotate = -1", r"\[augmentation\] rotate must be >= 0"),
        ("[augmentation]\nvariants = -1", r"\[augmentation\] variants must be >= 0"),
        ("shards = 0", r"\[training\] shards must be > 0"),
        ("weight_decay = -1", r"\[training\] weight_decay must be >= 0"),
        ("float_weight_epochs = 2", r"\[training\] float_weight_epochs must be in \[0, epochs\)"),
        ("warmup_epochs = 2", r"\[training\] warmup_epochs must be in \[0, epochs of each stage\)"),
        ("float_weight_epochs = 1", r"warmup_epochs must be in \[0, epochs of each stage\)"),
        ("restarts = [2]", r"\[training\] restarts must be epochs that rise, between float_weight"),
        ("restarts = [0]", r"\[training\] restarts must be epochs that rise"),
        ("restarts = [1, 1]", r"\[training\] restarts must be epochs that rise"),
        ("restarts = [1]", r"warmup_epochs must be in \[0, epochs of each stage\)"),
        (
            'start = "mlp-digits"\nfloat_weight_epochs = 1\nwarmup_epochs = 0',
            r"\[training\] start must be left out where floats come first",
        ),
        ("held_back = 300", r"\[training\] held_back must be in \[0, 300\), fewer than digits has"),
        ("restart_rate = 0", r"\[training\] restart_rate must be in \(0, 1\]"),
        ('estimator = "ste"', r"\[training\] estimator must be straight, clipped, polynomial"),
        ('weight_estimator = "ste"', r"\[training\] weight_estimator must be straight"),
        ('weights = "raw"', r"\[training\] weights must be plain, centred, standardised"),
        ('clipping = "off"', r"\[training\] clipping must be fixed or learned"),
        ("ema = 1", r"\[training\] ema must be in \[0, 1\)"),
        ("recalibrate = 0", r"\[training\] recalibrate must be > 0"),
        ('precision = "half"', r"\[training\] precision must be float32 or bfloat16"),
        ("threads = -1", r"\[training\] threads must be >= 0"),
        ("[hardware]\ntarget_cycles = 0", r"\[hardware\] target_cycles must be > 0"),
        ("[hardware]\nclock_mhz = 0", r"\[hardware\] clock_mhz must be > 0"),
        ("[hardware]\ninput_parallel = 0", r"\[hardware\] input_parallel must be > 0"),
        ("[hardware]\nfolding = { fc0 = 3 }", r"folding.fc0 is 3; it must be of type dict"),
    ],
)
def test_wrong_values_are_refused_in_one_line(tmp_path, text, message):
    section, body = text.split("\n", 1) if text.startswith("[") else ("[training]", text)
    whole = GOOD if section in GOOD else f"{GOOD}{section}\n"
    with pytest.raises(UserError, match=message) as caught:
        presets.read(written(tmp_path, whole.replace(section, f"{section}\n{body}")))
    assert str(caught.value).startswith(str(tmp_path / "own.toml"))
    assert "\n" not in str(caught.value)


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


def test_options_that_came_later_leave_the_fingerprint_at_their_defaults():
    preset = presets.load("tfc-mnist")
    assert "padding" not in preset.training_options["student"]
    padded = replace(preset, student=replace(preset.student, padding=1))
    assert padded.training_options["student"]["padding"] == 1
    assert padded.fingerprint(0) != preset.fingerprint(0)


def test_the_teachers_fingerprint_follows_what_a_frozen_teacher_depends_on():
    preset = presets.load("conv-mnist")
    base = preset.teacher_fingerprint(0)

    def changed(section, **values):
        part = replace(getattr(preset, section), **values)
        return replace(preset, **{section: part}).teacher_fingerprint(0)

    for section, values in [
        ("student", {"hidden": (5,)}),
        ("distillation", {"alpha": 0.1, "temperature": {"form": "relative"}}),
        ("training", {"epochs": 99, "learning_rate": 0.5, "estimator": "ede", "ema": 0.5}),
        ("augmentation", {"variants": 3}),
    ]:
        assert changed(section, **values) == base, section
    for section, values in [
        ("data", {"name": "digits"}),
        ("teacher", {"epochs": 3}),
        ("training", {"batch_size": 100}),
        ("training", {"precision": "float32"}),
        ("augmentation", {"shift": 1}),
    ]:
        assert changed(section, **values) != base, section
    assert preset.teacher_fingerprint(1) != base


def test_the_fingerprint_follows_the_seeds_and_their_order():
    preset = presets.load("mlp-digits")
    prints = {preset.fingerprint(*seeds) for seeds in [(0,), (0, 1), (1, 0), (1,), (0, 1, 2)]}
    assert len(prints) == 5
