"""Training that goes on from a student of the zoo: its bits, no other seed, and never worse."""

import json

import pytest
import small
import torch

from flow.errors import UserError
from models import checkpoint, curves, start, train, zoo
from models.ensemble import Students, statistics
from models.feed import Feed, evaluate, percent

SEED = 3
LABELS = {"mode": "none"}
SHORTCUTS = {
    "input": "binary",
    "convolutions": ((6, 6),),
    "kernel": 3,
    "padding": 1,
    "shortcuts": True,
    "hidden": (9,),
}
STUDENTS = {"MLP": {}, "convolutions": small.CONVOLUTIONS, "shortcuts": SHORTCUTS}


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr(curves, "draw", lambda *rest: rest[-1].write_bytes(b"picture"))


def preset(student, **training):
    return small.preset(student=student, training=training, distillation=LABELS)


def kept(folder, student, monkeypatch, **training):
    """A zoo with one trained student; the name to start from, its network and its report."""
    wanted = preset(student, **training)
    report = train.train(wanted, (SEED,), folder / "run")
    network = train.load_student(folder / "run", wanted, SEED)
    arrays = zoo.pack(network)
    weights = zoo.digest(arrays)
    entry = folder / "zoo" / "small" / weights[:8]
    entry.mkdir(parents=True)
    zoo.save(entry / zoo.WEIGHTS, arrays)
    training = {"source": "train", "weights": weights, "images": report["images"]}
    body = {"seed": SEED, "commit": "0" * 40, "training": training}
    checkpoint.write_json(entry / zoo.REPORT, body)
    monkeypatch.setattr(zoo, "ZOO", folder / "zoo")
    return f"small/{weights[:8]}", network, report


@pytest.mark.parametrize("student", STUDENTS.values(), ids=STUDENTS)
def test_every_bit_is_the_kept_students(student, tmp_path, monkeypatch):
    name, network, report = kept(tmp_path, student, monkeypatch)
    wanted = preset(student, start=name, initial=0.25)
    feed = Feed(wanted, (SEED,))
    students = Students(wanted, (SEED,))
    start.begin(students, wanted, feed)
    logits, labels = evaluate(students, feed)
    assert percent(logits, labels)[0] == report["per_seed"][0]["accuracy"]["validation"]
    images = feed.all_images[feed.train_rows[0]]
    seen: dict[str, list[torch.Tensor]] = {"kept": [], "begun": []}
    for i in range(len(students.norms)):
        for name_, norm in (
            ("kept", network.layers.get_submodule(f"norm{i}")),
            ("begun", students.norms[i]),
        ):
            norm.register_forward_hook(lambda _m, _a, out, to=seen[name_]: to.append(out >= 0))
    with torch.no_grad():
        network(images.float() / 255)
        students.eval()(images)
    pooled = students.pooled  # in training the pool comes first, in the network after the sign
    for i, (a, b) in enumerate(zip(*seen.values(), strict=True)):
        a = torch.nn.functional.max_pool2d(a.float(), 2) > 0 if i in pooled else a
        assert torch.equal(a, b.view_as(a)), i
    for _, product in students.parts():
        assert torch.equal(product.weight.abs(), torch.full_like(product.weight, 0.25))


def test_images_it_has_learned_are_not_held_back(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, {}, monkeypatch, held_back=100)
    fewer = preset({}, start=name, held_back=60)
    start.begin(Students(fewer, (SEED,)), fewer, Feed(fewer, (SEED,)))
    for more in ({}, {"held_back": 101}):
        wanted = preset({}, start=name, **more)
        feed = Feed(wanted, (SEED,))
        with pytest.raises(UserError, match="no more than 100 images held back; set held_back to"):
            start.begin(Students(wanted, (SEED,)), wanted, feed)


def test_statistics_are_those_of_the_training_images(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, small.CONVOLUTIONS, monkeypatch)
    wanted = preset(small.CONVOLUTIONS, start=name)
    feed = Feed(wanted, (SEED,))
    students = Students(wanted, (SEED,))
    start.begin(students, wanted, feed)
    first = [part.running_mean.clone() for part in statistics(students)]
    students.train()(feed.all_images[feed.train_rows[0]])  # notes the statistics of its batch
    noted = statistics(students)[0].noted[0]
    assert torch.allclose(first[0], noted[0], rtol=1e-4, atol=1e-3)
    assert torch.allclose(statistics(students)[0].running_var, noted[1], rtol=1e-2)


def test_logits_begin_at_the_scale_their_labels_are_likeliest_at(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, {}, monkeypatch)
    wanted = preset({}, start=name)
    feed = Feed(wanted, (SEED,))
    students = Students(wanted, (SEED,))
    start.begin(students, wanted, feed)
    rows = feed.train_rows[0, : start.IMAGES]
    scale, found = students.norm.weight.item(), []
    for factor in (0.9, 1.0, 1.1):
        with torch.no_grad():
            students.norm.weight.fill_(factor * scale)
            logits = students.eval()(feed.all_images[rows])[0]
        found.append(float(torch.nn.functional.cross_entropy(logits, feed.all_labels[rows])))
    assert found[1] < min(found[0], found[2])


def test_a_training_that_finds_nothing_better_keeps_what_it_began_from(tmp_path, monkeypatch):
    name, network, before = kept(tmp_path, {}, monkeypatch)
    wanted = preset({}, start=name, epochs=1, learning_rate=1e-9, initial=1.0)
    report = train.train(wanted, (SEED,), tmp_path / "again")
    (one,) = report["per_seed"]
    assert one["best_epoch"] == 0
    assert one["accuracy"]["validation"] == before["per_seed"][0]["accuracy"]["validation"]
    assert one["accuracy"]["test"] == before["per_seed"][0]["accuracy"]["test"]
    again = train.load_student(tmp_path / "again", wanted, SEED)
    assert zoo.digest(zoo.pack(again)) == zoo.digest(zoo.pack(network))


def test_the_first_epochs_have_the_rate_of_a_restart(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, {}, monkeypatch)
    rates, real = [], train.one_step

    def step(run, *rest):
        rates.append(run.optimisers[0][0].param_groups[0]["lr"])
        return real(run, *rest)

    monkeypatch.setattr(train, "one_step", step)
    train.train(preset({}, start=name, restart_rate=0.25), (SEED,), tmp_path / "again")
    assert max(rates) == pytest.approx(0.25 * preset({}).training.learning_rate)


def test_what_a_training_began_from_is_part_of_its_fingerprint(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, {}, monkeypatch)
    assert preset({}, start=name).fingerprint(SEED) != preset({}).fingerprint(SEED)
    assert "start" not in preset({}).training_options["training"]


def test_a_start_that_cannot_be_is_refused(tmp_path, monkeypatch):
    name, _, _ = kept(tmp_path, {}, monkeypatch)
    folder = tmp_path / "zoo" / name

    def refused(seed, name, words, student=()):
        wanted = preset(dict(student), start=name)
        with pytest.raises(UserError, match=words):
            train.train(wanted, (seed,), tmp_path / "refused")

    refused(0, name, r"trained with seed 3, and has learned images that seeds \[0\] validate on")
    refused(SEED, "small/none", r"\[training\] start: no weights in models/zoo/small/none")
    refused(SEED, name, r"weights.npz: holds fc1 of 12 x 16 where", {"hidden": (16, 11)})
    report = json.loads((folder / zoo.REPORT).read_text())
    other = folder.with_name("00000000")
    folder.rename(other)
    refused(SEED, "small/00000000", r"the folder is named after others")
    other.rename(folder)
    report["training"]["weights"] = "0" * 64
    (folder / zoo.REPORT).write_text(json.dumps(report))
    refused(SEED, name, r"not the weights of the report beside it")
