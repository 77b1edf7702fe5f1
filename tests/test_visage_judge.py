"""visage-detect looks again at what it takes for faces: what becomes of landmarks and scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import pytest
import torch
from torch import Tensor
from visage.models.detectors import visage_judge as judge_module
from visage.models.detectors.candidates import Candidates, joined
from visage.models.detectors.face_views import Framing
from visage.models.detectors.visage_finder import STRIDES, VisageDetect, cells_of
from visage.models.detectors.visage_judge import judged
from visage.models.detectors.visage_landmarks import FRAMING, LandmarkNetwork

from .test_training_detector import TINY
from .test_training_landmarks import WIDTHS, placed

CLOSER = judge_module._CLOSER


class Certain(LandmarkNetwork):
    """Says that the landmarks lie a pixel of the view to the right of the mean face, and is as sure as it is told."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__(WIDTHS)
        self.logits = torch.tensor(logits)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        points = (FRAMING.mean_face(views) + torch.tensor([1.0, 0.0])).expand(len(views), 5, 2)
        return points, self.logits.repeat(2)[: len(views)]


class Sees(VisageDetect):
    """Gives every face that it is shown in a closer view one logit, at the mean face or beside it.

    Args:
        logits: for the faces of each look, one after the other.
        aside: distances of the eyes to the right of the mean face.
    """

    def __init__(self, *logits: float, aside: float = 0.0) -> None:
        super().__init__(TINY)
        self.logits, self.aside = cycle(logits), aside
        self.framings: Iterator[Framing] = cycle(CLOSER)
        self.shown: list[Tensor] = []

    def forward(self, pictures: Tensor) -> list[Tensor]:
        self.shown.append(pictures)
        framing, logit = next(self.framings), next(self.logits)
        assert pictures.shape[2:] == (framing.side, framing.side)
        mean = framing.mean_face(pictures)
        mean = mean + torch.tensor([self.aside, 0.0]) * (mean[1] - mean[0]).norm()
        cells = cells_of(framing.side, framing.side)
        points = ((mean - cells[:, None, :2]) / (cells[:, 2:, None] * 4)).flatten(1)
        rows = torch.cat((torch.full((len(cells), 1), logit), torch.zeros(len(cells), 4), points), 1)
        sides = [framing.side // stride for stride in STRIDES]
        levels = rows.split([side**2 for side in sides])
        return [
            level.T.reshape(-1, side, side).expand(len(pictures), -1, -1, -1)
            for level, side in zip(levels, sides, strict=True)
        ]


def candidates(*scores: float) -> Candidates:
    """Faces in a row, each twice as large as the one before."""
    scales = [2.0**index for index in range(len(scores))]
    landmarks = torch.cat([placed(0.0, scale / 4, (12 * scale, 30.0)) for scale in scales]) - 0.5
    boxes = torch.stack([torch.tensor([12.0, 30, 30, 48]) * scale for scale in scales])
    return Candidates(boxes, torch.tensor(scores), torch.zeros(len(scores), dtype=torch.int64), landmarks)


def joint(first: float, logit: float) -> Tensor:
    return (torch.tensor(first) * torch.tensor(logit).sigmoid()).sqrt()


def after_closer_look(score: Tensor, logit: float) -> Tensor:
    return (score.logit() + 0.5 * logit + 0.2).sigmoid()


PICTURES = torch.rand(2, 3, 128, 192, generator=torch.Generator().manual_seed(8))


def test_landmarks_and_scores_are_those_of_the_second_look() -> None:
    first, second = placed(0.0, 1.0, (30.0, 30.0)), placed(0.0, 2.0, (5.0, 5.0))
    boxes = torch.tensor([[30.0, 30, 90, 90], [5.0, 5, 100, 100]])
    scores = torch.tensor([0.9, 0.81])
    one = Candidates(boxes, scores, torch.zeros(2, dtype=torch.int64), torch.cat((first, second)) - 0.5)
    none = one.select(torch.empty(0, dtype=torch.int64))
    found = judged(Sees(0.0), Certain([-2.0, 2.0]), torch.rand(2, 3, 128, 128), [none, one], 0.1)
    assert len(found[0]) == 0
    # Best first: the second is the surer one now. The first look moves landmarks by a pixel of the view; what the other
    # sees to the right it sees to the left in the mirror, and the mean face becomes even.
    assert found[1].landmarks is not None
    face = FRAMING.mean_face(first)
    mirrored = torch.tensor([float(FRAMING.side), 0.0]) + face[[1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])
    even = (face + mirrored) / 2 - face
    for landmarks, before, scale in ((found[1].landmarks[0], second[0], 2), (found[1].landmarks[1], first[0], 1)):
        moved = (landmarks - before + 0.5) / scale
        torch.testing.assert_close(moved, even + torch.tensor([1.0, 0.0]), atol=0.1, rtol=0)
    # The second, at 0.84, is sure enough; the first is looked at more closely.
    expected = torch.stack((joint(0.81, 2.0), after_closer_look(joint(0.9, -2.0), 0.0)))
    torch.testing.assert_close(found[1].scores, expected)
    torch.testing.assert_close(found[1].boxes, boxes.flip(0))
    # 0.81 and a logit of -2 make 0.33: far less than 0.7, so it is not looked at again.
    (surer,) = judged(Sees(0.0), Certain([2.0, -2.0]), torch.rand(1, 3, 128, 128), [one], 0.7)
    assert len(surer) == 1
    torch.testing.assert_close(surer.boxes, boxes[:1])


def test_doubtful_faces_are_judged_by_a_closer_look() -> None:
    doubtful = joint(0.5, 0.0)
    for seen, mean in (((3.0, 1.0), 2.0), ((-3.0, -5.0), -4.0)):
        (found,) = judged(Sees(*seen), Certain([0.0]), PICTURES[:1], [candidates(0.5)], 0.1)
        torch.testing.assert_close(found.scores, after_closer_look(doubtful, mean)[None])
    # Where nothing is seen at its place, something beside it does not count.
    (beside,) = judged(Sees(6.0, aside=0.7), Certain([0.0]), PICTURES[:1], [candidates(0.5)], 0.1)
    torch.testing.assert_close(beside.scores, after_closer_look(doubtful, -8.0)[None])


def test_sure_faces_need_no_closer_look_and_stay_the_surest() -> None:
    detect = Sees(30.0)
    (found,) = judged(detect, Certain([3.0]), PICTURES[:1], [candidates(0.9)], 0.5)
    assert not detect.shown
    torch.testing.assert_close(found.scores, joint(0.9, 3.0)[None])
    (doubtful,) = judged(detect, Certain([0.0]), PICTURES[:1], [candidates(0.9)], 0.5)
    assert len(detect.shown) == 2 and float(doubtful.scores) == pytest.approx(0.8)


def test_closer_looks_show_each_face_of_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many at a time, and in views in which the faces of all sizes have one size."""
    found = [candidates(0.5, 0.6, 0.7), candidates(0.4, 0.55)]
    points = Certain([0.0] * 5)
    all_at_once, few_at_once = Sees(-1.0), Sees(-1.0)
    together = judged(all_at_once, points, PICTURES, found, 0.1)
    monkeypatch.setattr(judge_module, "_CLOSER_AT_ONCE", 2)
    apart = judged(few_at_once, points, PICTURES, found, 0.1)
    assert [len(shown) for shown in all_at_once.shown] == [5, 5]
    assert [len(shown) for shown in few_at_once.shown] == [2, 2, 2, 2, 1, 1]
    for number in range(2):
        torch.testing.assert_close(torch.cat(few_at_once.shown[number::2]), all_at_once.shown[number])
        torch.testing.assert_close(apart[number].scores, together[number].scores)
    for one, other in ((0, 1), (0, 3), (3, 4)):
        assert (all_at_once.shown[0][one] - all_at_once.shown[0][other]).abs().max() > 0.1


def test_a_face_with_two_boxes_is_one_face() -> None:
    """Where the landmarks are the same, however unlike the boxes; the surer one stays. Other pictures do not matter."""
    once = candidates(0.6)
    other = replace(once, boxes=once.boxes * 4, scores=torch.tensor([0.7]))
    assert once.landmarks is not None
    beside = replace(once, landmarks=once.landmarks + torch.tensor([12.0, 0.0]))
    middle = once.landmarks.mean(1, keepdim=True)
    within = replace(once, landmarks=middle + (once.landmarks - middle) / 3)
    found = judged(Sees(0.0), Certain([1.0] * 5), PICTURES, [joined([once, other, beside, within]), once], 0.1)
    assert [len(one) for one in found] == [3, 1]
    torch.testing.assert_close(found[0].boxes, torch.cat((other.boxes, once.boxes, once.boxes)))


def test_nothing_found_is_nothing_to_judge() -> None:
    none = candidates(0.5).select(torch.empty(0, dtype=torch.int64))
    assert [len(one) for one in judged(Sees(1.0), Certain([0.0]), PICTURES, [none, none], 0.1)] == [0, 0]
