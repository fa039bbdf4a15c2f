"""The float teacher."""

import torch

from models import presets, teachers


def test_the_teacher_of_a_preset_gives_logits_and_sees_grey_values():
    teacher = teachers.build(presets.load("mlp-digits")).eval()
    images = torch.full((2, 1, 8, 8), 0.6)
    images[1] = 0.9  # the same to a binary input
    logits = teacher(images)
    assert logits.shape == (2, 10)
    assert not torch.equal(logits[0], logits[1])


def test_dropout_is_used_in_training_only():
    torch.manual_seed(0)
    teacher = teachers.FloatMLP(16, (8,), 3, 0.5)
    images = torch.rand(4, 1, 4, 4)
    assert not torch.equal(teacher(images), teacher(images))
    teacher.eval()
    assert torch.equal(teacher(images), teacher(images))
