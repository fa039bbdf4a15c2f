"""Every switch of the recipe vanishes: what is exported is signs and thresholds, whatever it was.

Students are trained for some steps with one switch, or all of them, and compared with the Brevitas
network that their exported state gives, and that with the integer graph it is lowered to.
"""

import numpy as np
import pytest
import small
import torch

from flow import reference
from flow.lowering import export, lower
from flow.lowering.export import scale_images
from models import students
from models.ensemble import PRECISION
from models.run import Run

EVERYTHING = {
    "epochs": 2,
    "float_weight_epochs": 1,
    "estimator": "reste",
    "weight_estimator": "ede",
    "weights": "standardised",
    "clipping": "learned",
    "ema": 0.8,
    "precision": "bfloat16",
}
SWITCHES = {
    "plain": {},
    "estimator ede": {"estimator": "ede"},
    "estimator polynomial": {"estimator": "polynomial"},
    "estimator reste": {"estimator": "reste"},
    "weight estimator": {"weight_estimator": "polynomial"},
    "centred": {"weights": "centred"},
    "standardised": {"weights": "standardised"},
    "learned clip": {"clipping": "learned"},
    "two stages": {"epochs": 2, "float_weight_epochs": 1},
    "restart": {"epochs": 2, "restarts": (1,), "initial": 0.2},
    "average": {"ema": 0.8},
    "pool last": {"pool_first": False},
    "bfloat16": {"precision": "bfloat16"},
    "all": EVERYTHING,
}
NETWORKS = {
    "binary MLP": {"hidden": (16, 12)},
    "convolutions of pixels": small.CONVOLUTIONS,
    "binary convolutions": small.CONVOLUTIONS | {"input": "binary"},
}
SEEDS = (1, 6)


def trained(switches, network, folder) -> Run:
    wanted = small.preset(
        student=NETWORKS[network],
        training={"epochs": 1} | switches,
        distillation={"mode": "none"},
    )
    return small.run_of(wanted, folder, *SEEDS)


def exported(run: Run, index: int) -> students.BinaryNetwork:
    student = students.build(run.preset)
    student.load_state_dict(run.average.state_of(index))
    return student.eval()


@pytest.mark.parametrize("network", ["binary MLP", "convolutions of pixels"])
@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_the_exported_student_is_the_trained_one(switches, network, tmp_path):
    run = trained(switches, network, tmp_path)
    run.average.eval()
    run.average.dtype = PRECISION["float32"]  # as it is exported
    images = run.feed.test_images
    with torch.no_grad():
        logits = run.average(images.repeat(1, len(SEEDS), 1, 1))
        for i in range(len(SEEDS)):
            expected = exported(run, i)(images.float() / 255)
            assert torch.allclose(logits[i], expected, rtol=1e-5, atol=1e-5)
            assert torch.equal(logits[i].argmax(-1), expected.argmax(-1))
    assert len(logits.argmax(-1).unique()) > 3  # it has something to say


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("switches", ["pool last", "all"])
def test_the_integer_graph_is_the_trained_one(switches, network, tmp_path):
    """Through the QONNX file, FINN's passes and the integer reference, label by label."""
    run = trained(SWITCHES[switches], network, tmp_path)
    student, shape = exported(run, 0), tuple(run.feed.test_images.shape[1:])
    images = run.feed.test_images.numpy()
    export.export(student, shape, tmp_path / "model.onnx")
    golden = export.golden(student, images[:16])
    graph = lower.lower(tmp_path / "model.onnx", golden, tmp_path / "finn.log").graph
    with torch.no_grad():
        expected = student(scale_images(images)).argmax(1).numpy()
    assert np.array_equal(reference.labels(graph, images), expected)
    assert len(np.unique(expected)) > 3
