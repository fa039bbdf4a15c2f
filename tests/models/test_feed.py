"""Images on the device: each seed's own split, in its order."""

import pytest
import small
import torch

from flow.errors import UserError
from models import data
from models.feed import Feed, evaluate, percent, threads

SEEDS = (2, 0, 11)


@pytest.fixture(scope="module")
def feed():
    return Feed(small.preset(), SEEDS)


def test_each_seed_sees_its_own_split(feed):
    assert (feed.count, feed.steps) == (1197, 1197 // 64)
    every = torch.arange(feed.count).expand(3, -1)
    images, labels = feed.images(every), feed.labels(every)
    for i, seed in enumerate(SEEDS):
        splits = data.load("digits", seed)
        assert torch.equal(images[i], torch.from_numpy(splits.train.images))
        assert torch.equal(labels[i], torch.from_numpy(splits.train.labels))
        held = feed.validation_rows[i]
        assert torch.equal(feed.all_images[held], torch.from_numpy(splits.validation.images))
        assert torch.equal(feed.test_images, torch.from_numpy(splits.test.images))


def test_fewer_held_back_are_some_of_the_images_held_back_before(feed):
    fewer = Feed(small.preset(training={"held_back": 40}), SEEDS)
    assert (fewer.count, fewer.validation_rows.shape[1]) == (1457, 40)
    for i in range(len(SEEDS)):
        before, held = (set(f.validation_rows[i].tolist()) for f in (feed, fewer))
        learned = set(fewer.train_rows[i].tolist())
        assert held < before
        assert learned == set(feed.train_rows[i].tolist()) | before - held


def test_rows_pick_images_and_their_labels(feed):
    rows = torch.tensor([[3, 0], [5, 5], [1196, 7]])
    every = torch.arange(feed.count).expand(3, -1)
    for i in range(3):
        assert torch.equal(feed.images(rows)[i], feed.images(every)[i, rows[i]])
        assert torch.equal(feed.labels(rows)[i], feed.labels(every)[i, rows[i]])


def test_side_by_side_puts_seeds_where_channels_are():
    images = torch.arange(2 * 3 * 4).view(2, 3, 4, 1, 1)  # seeds, images, channels
    beside = Feed.side_by_side(images)
    assert beside.shape == (3, 8, 1, 1)
    assert beside[1].flatten().tolist() == [4, 5, 6, 7, 16, 17, 18, 19]


class Echo(torch.nn.Module):
    """Logits that say which images were seen: the sum of each seed's pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        sums = images.long().sum((2, 3)).T  # (S, N)
        return torch.stack((sums, -sums), -1).float()


def test_evaluation_shows_each_seed_its_validation_images_in_order(feed, monkeypatch):
    monkeypatch.setattr("models.feed.EVALUATION_BATCH", 70)
    logits, labels = evaluate(Echo(), feed)
    tested, test_labels = evaluate(Echo(), feed, test=True)
    for i, seed in enumerate(SEEDS):
        splits = data.load("digits", seed)
        assert logits[i, :, 0].tolist() == splits.validation.images.sum((1, 2, 3)).tolist()
        assert labels[i].tolist() == splits.validation.labels.tolist()
        assert tested[i, :, 0].tolist() == splits.test.images.sum((1, 2, 3)).tolist()
        assert test_labels[i].tolist() == splits.test.labels.tolist()


def test_percent_by_hand():
    logits = torch.tensor([[[1.0, 0], [0, 1], [3, 2], [0, 1]], [[0, 1.0]] * 4])
    assert percent(logits, torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1]])) == [75, 25]


def test_a_single_student_is_asked_in_floats(feed):
    class Whole(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    seen = feed.test_logits(Whole())
    assert torch.equal((seen * 255).round().to(torch.uint8).view(300, 1, 8, 8), feed.test_images)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    with threads(0):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_a_batch_larger_than_the_data_is_refused():
    for section in ("training", "teacher"):
        wanted = {section: {"batch_size": 1198}, "distillation": {"mode": "frozen"}}
        with pytest.raises(UserError, match=rf"{section}\] batch_size = 1198 .* 1197 training"):
            Feed(small.preset(**wanted), (0,))
    assert Feed(small.preset(training={"batch_size": 1196}), (0,)).steps == 1
