"""The pictures of a run: what is drawn, and what is left out because it was not measured."""

import numpy as np
import pytest

from models import curves

SEEDS = 3


def history(alpha=0.9, teacher=True, epochs=4):
    rows = []
    for epoch in range(1, epochs + 1):
        row = {key: [epoch + 0.1 * seed for seed in range(SEEDS)] for key in curves.STYLES}
        row |= {"epoch": epoch, "alpha": [alpha] * SEEDS}
        if not teacher:
            row |= {"teacher_loss": [0.0] * SEEDS, "teacher_validation": None}
        rows.append(row)
    return rows


def drawn(rows):
    return {key for key in curves.STYLES if curves.values(rows, key) is not None}


def test_values_are_epochs_by_seeds():
    found = curves.values(history(), "temperature")
    assert found.shape == (4, SEEDS)
    assert found[1] == pytest.approx([2.0, 2.1, 2.2])


def test_what_a_run_did_not_have_is_left_out():
    assert drawn(history()) == set(curves.STYLES)
    frozen = history(teacher=False)
    assert set(curves.STYLES) - drawn(frozen) == {"teacher_loss", "teacher_validation"}
    alone = history(alpha=0.0, teacher=False)
    assert not drawn(alone) & set(curves.OF_DISTILLATION)
    fixed = [row | {"distance": [0.0] * SEEDS} for row in history()]
    assert set(curves.STYLES) - drawn(fixed) == {"distance"}


def test_a_panel_shows_every_seed_and_the_mean():
    axis = curves.Figure().subplots()
    curves.panel(axis, history(), "temperature", ("temperature",))
    lines = [np.asarray(line.get_ydata()) for line in axis.lines]
    assert len(lines) == SEEDS + 1
    assert lines[-1] == pytest.approx(np.mean(lines[:-1], axis=0))


@pytest.mark.parametrize("draw", [curves.draw, curves.draw_adaptation])
@pytest.mark.parametrize("alpha", [0.9, 0.0])
def test_a_picture_is_written(draw, alpha, tmp_path):
    draw(history(alpha), "a run", tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
