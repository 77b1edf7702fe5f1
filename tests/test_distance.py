"""Distances to shapes, against brute force, and the edges made of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from visage.faces.distance import edge, to_box, to_ellipse, to_hull, to_mask
from visage.faces.masks import polygon

X = torch.arange(80.0)[None, :]
Y = torch.arange(60.0)[:, None]


def nearest(outline: Tensor) -> Tensor:
    """Distance of every pixel to the nearest of many points."""
    pixels = torch.stack([(X + 0 * Y).flatten(), (Y + 0 * X).flatten()], dim=-1)
    return torch.cdist(pixels, outline).amin(1).reshape(60, 80)


def along(corners: list[tuple[float, float]]) -> Tensor:
    """Points on the sides of a polygon."""
    steps = torch.linspace(0, 1, 400)[:, None]
    ends = corners[1:] + corners[:1]
    return torch.cat(
        [torch.tensor(a) * (1 - steps) + torch.tensor(b) * steps for a, b in zip(corners, ends, strict=True)]
    )


def test_box() -> None:
    distance = to_box((10.5, 20, 50, 44.5), X, Y)
    outline = along([(10.5, 20), (50, 20), (50, 44.5), (10.5, 44.5)])
    assert float((distance.abs() - nearest(outline)).abs().max()) < 0.1
    assert bool(((distance < 0) == ((X > 10.5) & (X < 50) & (Y > 20) & (Y < 44.5))).all())


def test_hull() -> None:
    points = ((12.0, 8.0), (60.0, 15.0), (40.0, 30.0), (25.0, 50.0), (55.0, 45.0))
    distance = to_hull(points, X, Y)
    outline = along([(12, 8), (60, 15), (55, 45), (25, 50)])
    assert float((distance.abs() - nearest(outline)).abs().max()) < 0.1
    inside = polygon(((12.0, 8.0), (60.0, 15.0), (55.0, 45.0), (25.0, 50.0)), 60, 80) > 0
    clear = distance.abs() > 0.1
    assert bool(((distance < 0) == inside)[clear].all())


def test_two_points_have_no_inside() -> None:
    assert float(to_hull(((10.0, 10.0), (20.0, 10.0)), X, Y).min()) == 0
    assert float(to_hull(((10.0, 10.0),), X, Y)[13, 14]) == pytest.approx(5)


def test_ellipse_is_right_around_its_outline() -> None:
    distance = to_ellipse((10, 12, 70, 48), X, Y)
    turn = torch.linspace(0, 2 * math.pi, 4000)
    outline = torch.stack([40 + 30 * turn.cos(), 30 + 18 * turn.sin()], dim=-1)
    true = nearest(outline) * torch.where(((X - 40) / 30) ** 2 + ((Y - 30) / 18) ** 2 < 1, -1, 1)
    close = true.abs() < 4
    assert float((distance - true)[close].abs().max()) < 0.6
    assert float(distance[30, 40]) == -18
    assert bool(distance.isfinite().all())


def test_mask_is_measured_from_the_middle_between_pixels() -> None:
    mask = torch.zeros(60, 80)
    mask[20:40, 30:50] = 1
    distance = to_mask(mask)
    assert [float(distance[30, x]) for x in (28, 29, 30, 31)] == [1.5, 0.5, -0.5, -1.5]
    assert float((distance - to_box((29.5, 19.5, 49.5, 39.5), X, Y)).abs().max()) < 0.5


def test_an_empty_and_a_full_mask_are_far_from_having_an_edge() -> None:
    assert float(to_mask(torch.zeros(6, 8)).min()) > 1e5
    assert float(to_mask(torch.ones(6, 8)).max()) < -1e5


def test_an_edge_falls_in_a_line_and_ends() -> None:
    distance = torch.tensor([[-5.0, 2.0, 4.5, 7.0, 9.0]])
    assert edge(distance, 2, 5).tolist()[0] == pytest.approx([1, 1, 0.5, 0, 0])
    assert edge(distance, 2, 0).tolist()[0] == pytest.approx([1, 1, 0, 0, 0])
