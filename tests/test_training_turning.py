"""Heads that are turned to the side: what is seen where, and the landmarks that go with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from visage.faces.alignment import FFHQ
from visage.training.sheets import Sheets, with_levels
from visage.training.turning import head_to_sheet, in_profile, relief, shown_places, turned, turned_points

SIDE = 256
# Half a sheet in distances of the eyes, and where the middle between the eyes lies on it.
_EYES, _HEIGHT = 0.35, -0.15


def sheets(count: int = 1) -> Sheets:
    """Heads whose colours tell the place: red grows to the right, green downwards."""
    model = torch.tensor(FFHQ.points)
    model = (model - model[:2].mean(0)) / (model[1, 0] - model[0, 0])
    landmarks = model * _EYES + torch.tensor([0.0, _HEIGHT])
    ramp = torch.arange(SIDE).to(torch.uint8)
    picture = torch.stack([ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)])
    level = picture.byte().expand(count, 3, SIDE, SIDE).contiguous()
    box = torch.tensor([-_EYES, _HEIGHT - _EYES, _EYES, _HEIGHT + 2 * _EYES])
    return Sheets(with_levels(level), box.expand(count, 4), landmarks.expand(count, 5, 2))


def test_the_nose_stands_out() -> None:
    x, y = torch.tensor([-0.5, 0.5, 0.0, -0.44, 0.44, 3.0]), torch.tensor([0.0, 0.0, 0.6, 1.04, 1.04, 0.0])
    left_eye, right_eye, nose, left_mouth, right_mouth, beside = relief(x, y).tolist()
    assert left_eye == right_eye and left_mouth == right_mouth
    assert nose > left_eye + 0.3 and nose > left_mouth + 0.3 and beside == 0


@pytest.mark.parametrize("degrees", [-45, -20, 20, 45])
def test_what_is_seen_is_the_surface_that_lies_there(degrees: float) -> None:
    """At a place where x is seen, x is indeed what turning takes there, except where nothing of the picture goes."""
    angle = math.radians(degrees)
    table = shown_places(angle)
    places = torch.linspace(-4, 4, len(table))
    there = torch.stack((table, places[:, None].expand_as(table)), -1)
    away = (turned_points(there, angle)[..., 0] - places).abs()
    face = away[(places.abs() < 1.5).nonzero()[:, 0]][:, places.abs() < 0.5]
    assert float((face < 0.05).float().mean()) > 0.97
    assert bool((table.diff(dim=1) >= 0).all())


def test_left_and_right_are_mirror_images() -> None:
    torch.testing.assert_close(shown_places(0.6), -shown_places(-0.6).flip(1))


def test_landmarks_stay_on_what_they_mark() -> None:
    """Eyes and mouth, which nothing hides at angles like these."""
    before = sheets(6)
    after = turned(before, 30.0, 3)
    assert set(after.levels) == set(before.levels)
    differences = []
    for index in range(6):
        for point in (0, 1, 3, 4):
            u, v = ((after.landmarks[index, point] + 1) * SIDE / 2).long().tolist()
            seen = after.levels[SIDE][index, :2, v, u].float()
            true = (before.landmarks[index, point] + 1) * SIDE / 2
            differences.append((seen - true).abs().max())
    # Two pixels are a twentieth of the distance of the eyes.
    assert max(differences) < 3
    shift = after.landmarks[:, 2, 0] - after.landmarks[:, :2, 0].mean(1)
    assert bool((shift.abs() > 0.05 * _EYES).any()) and bool((shift > 0).any()) and bool((shift < 0).any())


def test_all_five_landmarks_count_alike_for_the_place_of_a_head(generator: torch.Generator) -> None:
    """Against the least-squares solution of the linear equations for a turn, a scale and a shift."""
    model = torch.tensor(FFHQ.points, dtype=torch.float64)
    model = (model - model[:2].mean(0)) / (model[1, 0] - model[0, 0])
    seen = 0.4 * model + 0.1 * torch.randn(5, 2, generator=generator, dtype=torch.float64)
    (x, y), one, none = model.T, torch.ones(5), torch.zeros(5)
    rows = torch.cat([torch.stack([x, -y, one, none], 1), torch.stack([y, x, none, one], 1)])
    a, b, right, down = np.linalg.lstsq(rows.numpy(), torch.cat([seen[:, 0], seen[:, 1]]).numpy())[0]
    expected = torch.tensor([[a, -b, right], [b, a, down]], dtype=torch.float64)
    torch.testing.assert_close(head_to_sheet(seen), expected, rtol=0, atol=1e-9)


def test_a_turned_head_is_turned_further() -> None:
    before = sheets(8)
    moved = before.landmarks.clone()
    moved[:, 2, 0] += 0.1 * _EYES
    after = turned(Sheets(before.levels, before.boxes, moved), 40.0, 3)
    assert bool((after.landmarks[:, 2, 0] - after.landmarks[:, :2, 0].mean(1) > 0.1 * _EYES).all())


def test_profiles_are_told_from_heads_turned_a_little() -> None:
    """Also of a head that lies on its side."""
    landmarks = (sheets(1).landmarks - torch.tensor([0.0, _HEIGHT])) / _EYES
    little, far, nearly = (turned_points(landmarks, math.radians(angle)) for angle in (20, 60, 55))
    lying = torch.stack((-far[..., 1], far[..., 0]), -1)
    many = torch.cat([landmarks, little, far, nearly, lying])
    assert in_profile(Sheets({}, many.new_zeros(5, 4), many)).tolist() == [False, False, True, True, True]


def test_boxes_keep_the_landmarks() -> None:
    after = turned(sheets(8), 50.0, 5)
    left, right = after.boxes[:, 0], after.boxes[:, 2]
    assert bool((left < after.landmarks[..., 0].amin(1) + 0.3 * _EYES).all())
    assert bool((right > after.landmarks[..., 0].amax(1) - 0.3 * _EYES).all())


def test_the_same_seed_turns_alike() -> None:
    one, other, another = (turned(sheets(3), 50.0, seed) for seed in (1, 1, 2))
    assert torch.equal(one.levels[SIDE], other.levels[SIDE])
    assert not torch.equal(one.levels[SIDE], another.levels[SIDE])
