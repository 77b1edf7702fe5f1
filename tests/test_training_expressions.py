"""Faces with other expressions: landmarks stay on what they mark, and nothing far away moves."""

from __future__ import annotations

import torch
from visage.tests.test_training_turning import SIDE, sheets
from visage.training.expressions import bent, with_expressions
from visage.training.sheets import Sheets, with_levels
from visage.training.sources import varied

FACES = 24
_EYES = 0.35


def test_points_go_where_they_are_told_and_what_is_far_stays() -> None:
    before = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    after = before + torch.tensor([[0.1, 0.0], [0.0, -0.1], [0.2, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(bent(before, before, after), after)
    far = torch.tensor([[6.0, -5.0]], dtype=torch.float64)
    torch.testing.assert_close(bent(far, before, after), far, atol=1e-6, rtol=0)


def test_landmarks_stay_on_what_they_mark() -> None:
    """The colours of the sheets tell the place: what is seen at a landmark is what was there before."""
    before = sheets(FACES)
    after = with_expressions(before, 3)
    assert set(after.levels) == set(before.levels)
    places = ((after.landmarks + 1) * SIDE / 2 - 0.5).round().long()
    seen = torch.stack([after.levels[SIDE][face, :2, y, x] for face in range(FACES) for x, y in places[face].tolist()])
    true = (before.landmarks.reshape(-1, 2) + 1) * SIDE / 2 - 0.5
    # A pixel of rounding, and as much again where the face is stretched; a twentieth of the eyes' distance is 2.2.
    assert float((seen.float() - true).abs().max()) < 2.2


def test_mouths_differ_in_width_height_and_place() -> None:
    before = sheets(FACES)
    moved = (with_expressions(before, 3).landmarks - before.landmarks) / _EYES
    wider = moved[:, 4, 0] - moved[:, 3, 0]
    assert wider.min() < -0.05 and wider.max() > 0.2
    assert moved[:, 3:, 1].mean(1).min() < -0.05 and moved[:, 3:, 1].mean(1).max() > 0.05
    assert 0.01 < moved[:, :2].abs().mean() < 0.05 and moved[:, 2].abs().mean() > 0.01


def test_some_mouths_are_opened_dark_and_the_chin_goes_with_them() -> None:
    light = with_levels(torch.full((FACES, 3, SIDE, SIDE), 200, dtype=torch.uint8))
    before = sheets(FACES)
    after = with_expressions(Sheets(light, before.boxes, before.landmarks), 3)
    opened = after.levels[SIDE].amin((1, 2, 3)) < 150
    assert 3 <= int(opened.sum()) <= FACES // 2
    lower = (after.boxes - before.boxes)[:, 3] / _EYES
    assert lower[opened].mean() > lower[~opened].mean() + 0.1
    # Outside of mouths a plain face stays plain.
    assert bool((after.levels[SIDE][~opened] == 200).all())
    for face in opened.nonzero()[:, 0].tolist():
        y, x = (after.levels[SIDE][face, 0] < 200).nonzero().float().mean(0)
        corners = (after.landmarks[face, 3:] + 1) * SIDE / 2
        assert corners[0, 0] < x < corners[1, 0] and y > corners[:, 1].mean() - 4


def test_the_same_seed_gives_the_same_expressions() -> None:
    one, other, another = (with_expressions(sheets(3), seed) for seed in (1, 1, 2))
    assert torch.equal(one.levels[SIDE], other.levels[SIDE]) and torch.equal(one.landmarks, other.landmarks)
    assert not torch.equal(one.landmarks, another.landmarks)


def test_faces_are_varied_by_turning_and_by_expressions() -> None:
    faces = sheets(4)
    more = varied(faces, 40.0)
    assert len(more) == 2 * (4 + 2)
    for name in ("boxes", "landmarks"):
        assert torch.equal(getattr(more, name)[:4], getattr(faces, name))
    noses, eyes = more.landmarks[:, 2], more.landmarks[:, :2].mean(1)
    assert bool(((noses - eyes)[4:6, 0].abs() > 0.05 * _EYES).all())
    mouths = more.landmarks[:, 3:].mean(1)
    assert bool(((mouths[6:] - mouths[:6]).norm(dim=1) > 1e-3).all())


def test_heads_in_profile_are_there_more_often() -> None:
    faces = sheets(3)
    landmarks = faces.landmarks.clone()
    landmarks[1, 2, 0] += 0.6 * _EYES
    some = Sheets(faces.levels, faces.boxes, landmarks)
    more = varied(some, 40.0)
    assert len(more) == 2 * (3 + 2) + 8
    for number in range(10, 18):
        assert torch.equal(more.levels[SIDE][number], some.levels[SIDE][1])
        assert torch.equal(more.landmarks[number], landmarks[1]) and torch.equal(more.boxes[number], some.boxes[1])
