"""Runs that stop and go on: checkpoints, the loop, schedules, and draws that depend on the step alone."""

import json
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from visage.training import checkpoints
from visage.training.checkpoints import Checkpoint, CheckpointError
from visage.training.pictures import drawn, generator_of, picture_files, read_pictures
from visage.training.run import CHECKPOINT, Pace, run
from visage.training.schedule import Average, cosine


class Cut(Exception):  # noqa: N818 - as Ctrl-C is
    pass


class Walk:
    """A job whose state is the sum of what the global generator drew."""

    def __init__(self, steps: int, broken_at: int | None = None, cut_after: int | None = None) -> None:
        self.steps = steps
        self.settings = {"steps": steps}
        self.place = torch.zeros(3, dtype=torch.float64)
        self._broken_at = broken_at
        self._left = cut_after

    def step(self, number: int) -> dict[str, torch.Tensor]:
        if self._left is not None:
            if self._left == 0:
                raise Cut
            self._left -= 1
        self.place += torch.rand(3, dtype=torch.float64)
        return {"place": self.place.sum() if number != self._broken_at else torch.tensor(float("nan"))}

    def state(self) -> dict[str, torch.Tensor]:
        return {"place": self.place}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.place.copy_(state["place"])


@pytest.fixture(autouse=True)
def same_chance():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path: Path) -> None:
    whole = Walk(8)
    run(whole, tmp_path / "whole", Pace())
    torch.manual_seed(3)
    for _ in range(3):
        piece = Walk(8, cut_after=3)
        with suppress(Cut):
            run(piece, tmp_path / "pieces", Pace(save_minutes=0))
        torch.manual_seed(99)
    assert torch.equal(piece.place, whole.place)


def test_no_time_is_no_step_and_the_run_is_saved(tmp_path: Path) -> None:
    assert run(Walk(5), tmp_path, Pace(minutes=0)) == 0
    assert checkpoints.load(tmp_path / CHECKPOINT).step == 0
    assert run(Walk(5), tmp_path, Pace()) == 5


def test_the_log_tells_means(tmp_path: Path) -> None:
    job = Walk(4)
    run(job, tmp_path, Pace(tell_seconds=1e9))
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    torch.manual_seed(3)
    sums = torch.cumsum(torch.stack([torch.rand(3, dtype=torch.float64) for _ in range(4)]), 0).sum(1)
    assert json.loads(line)["step"] == 4
    assert json.loads(line)["place"] == pytest.approx(sums.mean().item())


def test_numbers_that_are_not_finite_stop_the_run_and_keep_the_last_checkpoint(tmp_path: Path) -> None:
    run(Walk(6), tmp_path, Pace(minutes=0))
    with pytest.raises(FloatingPointError, match="place"):
        run(Walk(6, broken_at=2), tmp_path, Pace(tell_seconds=0))
    assert checkpoints.load(tmp_path / CHECKPOINT).step == 0


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "one.pt"
    checkpoints.save(path, Checkpoint(1, {"steps": 5, "rate": 1.0}, {}))
    with pytest.raises(CheckpointError, match=r"\(rate\)"):
        checkpoints.load(path, {"steps": 5, "rate": 2.0})
    assert checkpoints.load(path, {"steps": 5, "rate": 1.0}).step == 1
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="another folder"):
        checkpoints.load(path)


def test_a_save_that_fails_keeps_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "one.pt"
    checkpoints.save(path, Checkpoint(1, {}, {}))
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, Checkpoint(2, {}, {"hook": lambda: None}))
    assert checkpoints.load(path).step == 1
    assert [one.name for one in tmp_path.iterdir()] == ["one.pt"]


def test_cosine_rises_falls_and_stays() -> None:
    rates = [cosine(step, 100, 10) for step in range(130)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.02 + 0.98 * 0.5)
    assert all(after <= before for before, after in pairwise(rates[9:]))
    assert rates[100:] == pytest.approx([0.02] * 30)


def test_the_average_forgets_the_first_weights() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(5.0)
    average = Average(module, 0.9)
    module.weight.data.fill_(1.0)
    expected = 5.0
    for step in range(60):
        average.update(module, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * 1.0
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(1.0, abs=1e-4)
    assert not average.module.weight.requires_grad


def test_every_picture_is_drawn_once_an_epoch_whatever_the_batch() -> None:
    singly = [number for step in range(21) for number in drawn(7, 1, 5, step)]
    for epoch in range(3):
        assert sorted(singly[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert [number for step in range(7) for number in drawn(7, 3, 5, step)] == singly
    assert singly[:7] != singly[7:14]
    assert drawn(7, 7, 6, 0) != singly[:7]


def test_generators_differ_by_step_and_seed() -> None:
    numbers = {generator_of(seed, step).initial_seed() for seed in range(3) for step in range(20)}
    assert len(numbers) == 60
    assert generator_of(1, 2).initial_seed() in numbers


def test_pictures_are_read_in_rgb_and_by_name(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    for name, bgr in (("b", (0, 0, 255)), ("a", (255, 0, 0))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 6, 3), bgr, np.uint8))
    files = picture_files(tmp_path)
    assert [file.stem for file in files] == ["a", "b"]
    pictures = read_pictures(files)
    assert pictures.shape == (2, 3, 4, 6)
    assert pictures[:, :, 0, 0].tolist() == [[0, 0, 255], [255, 0, 0]]
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c\.png"):
        read_pictures(picture_files(tmp_path))
    with pytest.raises(FileNotFoundError):
        picture_files(tmp_path / "none")
