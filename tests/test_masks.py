"""Masks in crop space; the square one against facexlib's erosion and blur."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from visage.faces.alignment import FFHQ, GPEN
from visage.faces.distance import convex_hull
from visage.faces.masks import ellipse, hull, polygon, soft_square

SHAPES = {
    "square": soft_square,
    "ellipse": ellipse,
    "hull": lambda size, feather=0.015: hull(landmarks_in(size), size, 0.14, feather),
}


def landmarks_in(size: int) -> tuple[tuple[float, float], ...]:
    return tuple(((x + 0.5) * size / 512 - 0.5, (y + 0.5) * size / 512 - 0.5) for x, y in FFHQ.points)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [16, 128, 512])
@pytest.mark.parametrize("feather", [0.005, 0.015, 0.05])
def test_full_in_the_middle_and_exactly_nothing_at_the_border(shape, size, feather) -> None:
    mask = SHAPES[shape](size, feather)
    assert mask.shape == (size, size)
    assert float(mask[size * 5 // 8, size // 2]) > 0.99
    for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert float(side.abs().max()) == 0
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_feather_looks_the_same_at_every_size(shape) -> None:
    large = SHAPES[shape](512).reshape(128, 4, 128, 4).mean((1, 3))
    assert float((large - SHAPES[shape](128)).abs().mean()) < 0.003


def test_the_square_is_facexlibs() -> None:
    hard = np.ones((512, 512), np.float32)
    hard[[0, -1]] = 0
    hard[:, [0, -1]] = 0
    edge = 510 // 20
    eroded = cv2.erode(hard, np.ones((2 * edge, 2 * edge), np.uint8))
    theirs = cv2.GaussianBlur(eroded, (2 * edge + 1, 2 * edge + 1), 0)
    assert float(np.abs(soft_square(512).numpy() - theirs).max()) < 0.08
    assert float(np.abs(soft_square(512).numpy() - theirs).mean()) < 0.005


def test_the_oval_lies_around_the_face() -> None:
    mask = ellipse(512)
    for x, y in FFHQ.points:
        assert float(mask[round(y), round(x)]) > 0.999
    assert float(mask[480:, :60].max()) == 0
    assert float(mask[20, 256]) < 0.05


def test_the_oval_goes_with_the_template() -> None:
    mask, whole = ellipse(512, template=GPEN), ellipse(512)
    for x, y in GPEN.points:
        assert float(mask[round(y), round(x)]) > 0.999
    assert float(mask.sum() / whole.sum()) == pytest.approx(GPEN.face_scale**2, rel=0.01)
    place = (torch.arange(512) + 0.5) / 512
    for axis in (0, 1):
        middle, expected = ((picture.sum(axis) * place).sum() / picture.sum() for picture in (mask, whole))
        shift = GPEN.face_shift[axis]
        assert float(middle) == pytest.approx(GPEN.face_scale * float(expected) + shift, abs=2e-3)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=12))
def test_a_hull_holds_all_its_points(points) -> None:
    points = [(float(x), float(y)) for x, y in points]
    corners = convex_hull(tuple(points))
    assert set(corners) <= set(points)
    if len(corners) < 3:
        return
    for px, py in points:
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            assert (bx - ax) * (py - ay) - (by - ay) * (px - ax) >= -1e-9


def test_a_polygon_is_filled_as_opencv_fills_it() -> None:
    points = tuple((40 + 30 * math.cos(t), 35 + 25 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 40)[:-1])
    ours = polygon(points, 80, 90).numpy()
    theirs = np.zeros((80, 90), np.uint8)
    cv2.fillPoly(theirs, [np.round(np.array(points)).astype(np.int32)], 1)
    # OpenCV also paints the outline itself.
    assert np.count_nonzero(ours > theirs) == 0
    assert abs(ours.sum() - math.pi * 30 * 25) < 40


def test_one_landmark_is_enough_for_a_hull() -> None:
    mask = hull(((63.5, 63.5),), 128, 0.2)
    assert float(mask[64, 64]) > 0.99
    assert float(mask[64, 100]) < 0.01
    assert torch.allclose(mask, mask.flip(0), atol=1e-5)
