"""Alignment against closed forms and against OpenCV's LMEDS, which facexlib uses."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from visage.faces.alignment import ARCFACE, FFHQ, GPEN, MAX_RESIDUAL, align, left_to_right
from visage.faces.face import Face
from visage.faces.geometry import OUTLIER_SCALE, apply, compose, fit_similarity, invert, resize_matrix, scale_of

TARGET = torch.tensor(FFHQ.points, dtype=torch.float64)


def similarity(scale: float, degrees: float, x: float, y: float) -> torch.Tensor:
    turn = math.radians(degrees)
    a, b = scale * math.cos(turn), scale * math.sin(turn)
    return torch.tensor([[a, -b, x], [b, a, y]], dtype=torch.float64)


similarities = st.builds(
    similarity, st.floats(0.05, 20), st.floats(-180, 180), st.floats(-3000, 3000), st.floats(-3000, 3000)
)


@given(similarities)
def test_an_exact_similarity_is_found_again(truth) -> None:
    found, residual = fit_similarity(apply(invert(truth), TARGET), TARGET, OUTLIER_SCALE)
    assert torch.allclose(found, truth, rtol=1e-9, atol=1e-6)
    assert float(residual.max()) < 1e-6


@given(similarities)
def test_invert_undoes(matrix) -> None:
    identity = torch.eye(2, 3, dtype=torch.float64)
    assert torch.allclose(compose(invert(matrix), matrix), identity, atol=1e-8)
    assert torch.allclose(compose(matrix, invert(matrix)), identity, atol=1e-6)


@given(st.floats(0.1, 10), st.floats(-500, 500))
def test_resizing_keeps_pixel_centres(scale, x) -> None:
    moved = apply(resize_matrix(scale), torch.tensor([[x, -x]], dtype=torch.float64))
    assert torch.allclose(moved, torch.tensor([[(x + 0.5) * scale - 0.5, (-x + 0.5) * scale - 0.5]]).double())
    assert math.isclose(float(scale_of(resize_matrix(scale))), scale, rel_tol=1e-9)


def corner_errors(count: int, outlier: float, noise: float) -> tuple[float, float]:
    """Mean distance of the crop's corners from the truth, in crop pixels: ours and OpenCV's LMEDS."""
    random = np.random.default_rng(5)
    corners = torch.tensor([[0, 0], [511, 0], [0, 511], [511, 511]], dtype=torch.float64)
    ours, theirs = [], []
    for _ in range(count):
        truth = similarity(random.uniform(0.3, 3), random.uniform(-180, 180), *random.uniform(-300, 300, 2))
        landmarks = FFHQ.points + random.normal(0, noise, (5, 2))
        if outlier:
            angle = random.uniform(0, 2 * math.pi)
            landmarks[random.integers(5)] += outlier * np.array([math.cos(angle), math.sin(angle)])
        seen = apply(invert(truth), torch.from_numpy(landmarks))
        where = apply(invert(truth), corners)
        fitted, _ = fit_similarity(seen, TARGET, OUTLIER_SCALE)
        reference = cv2.estimateAffinePartial2D(seen.numpy(), TARGET.numpy(), method=cv2.LMEDS)[0]
        for matrix, errors in ((fitted, ours), (torch.from_numpy(reference), theirs)):
            errors.append(float((apply(matrix, where) - corners).norm(dim=1).mean()))
    return float(np.mean(ours)), float(np.mean(theirs))


@pytest.mark.parametrize(("outlier", "noise", "limit"), [(0, 1, 3.0), (25, 1, 4.0), (60, 1, 4.0)])
def test_as_robust_as_lmeds_and_closer_without_outliers(outlier, noise, limit) -> None:
    ours, theirs = corner_errors(600, outlier, noise)
    assert ours < limit
    assert ours <= theirs * 1.02


def test_a_batch_is_fitted_as_its_faces_alone(generator) -> None:
    points = TARGET + torch.randn(7, 5, 2, generator=generator, dtype=torch.float64) * 5
    together, _ = fit_similarity(points, TARGET, OUTLIER_SCALE)
    alone = torch.stack([fit_similarity(face, TARGET, OUTLIER_SCALE)[0] for face in points])
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-10)


@given(similarities)
def test_swapped_eyes_and_mouth_are_put_right(truth) -> None:
    points = apply(invert(truth), TARGET)
    swapped = points[[1, 0, 2, 4, 3]]
    ordered = left_to_right(torch.stack([points, swapped]))
    assert torch.equal(ordered, torch.stack([points, points]))


@pytest.mark.parametrize("template", [FFHQ, ARCFACE, GPEN])
@pytest.mark.parametrize("size", [112, 256, 512, 1024])
def test_landmarks_land_on_the_template(template, size) -> None:
    truth = similarity(2.5, 30, 40, -60)
    points = apply(invert(truth), torch.tensor(template.points, dtype=torch.float64)).tolist()
    matrix = align([Face((0, 0, 9, 9), landmarks=tuple(map(tuple, points)))], size, template)[0]
    landed = apply(matrix, torch.tensor(points, dtype=torch.float64))
    wanted = (torch.tensor(template.points, dtype=torch.float64) + 0.5) * size / template.size - 0.5
    assert torch.allclose(landed, wanted, atol=1e-6)


def test_gpens_template_is_arcfaces_with_a_quarter_of_its_side_around_it() -> None:
    expected = (torch.tensor(ARCFACE.points, dtype=torch.float64) + 28) * 512 / 168
    assert torch.allclose(torch.tensor(GPEN.points, dtype=torch.float64), expected, atol=1e-3)


def test_gpens_template_shows_a_face_where_it_says_it_does() -> None:
    fitted, _ = fit_similarity(TARGET, torch.tensor(GPEN.points, dtype=torch.float64), math.inf)
    places = torch.tensor([[0.1, 0.2], [0.5, 0.5], [0.9, 0.3]], dtype=torch.float64)
    shown = (apply(fitted, places * 512 - 0.5) + 0.5) / 512
    assert torch.allclose(shown, GPEN.face_scale * places + torch.tensor(GPEN.face_shift).double(), atol=6e-3)
    assert math.isclose(GPEN.box_share, FFHQ.box_share / GPEN.face_scale, rel_tol=0.01)


def test_a_box_without_landmarks_gives_an_upright_square_around_it() -> None:
    face = Face((100, 200, 180, 300))
    matrix = align([face], 512)[0]
    assert float(matrix[0, 1]) == 0
    assert math.isclose(512 / float(scale_of(matrix)), 100 * FFHQ.box_share, rel_tol=1e-9)
    assert abs(float(apply(matrix, torch.tensor([face.centre], dtype=torch.float64))[0, 0]) - 255.5) < 1e-6


def test_a_rolled_box_is_turned_upright() -> None:
    matrix = align([Face((100, 200, 200, 300), roll=90.0)], 512)[0]
    # What lies to the right of a face turned clockwise by 90 degrees is what lies above it when upright.
    right, centre = apply(matrix, torch.tensor([[190.0, 250.0], [150.0, 250.0]], dtype=torch.float64))
    assert float(right[1]) < float(centre[1]) - 50
    assert abs(float(right[0] - centre[0])) < 1e-6


def test_landmarks_of_no_face_are_not_believed() -> None:
    nonsense = ((10.0, 10.0), (12.0, 80.0), (90.0, 15.0), (11.0, 11.0), (60.0, 10.0))
    _, residual = fit_similarity(torch.tensor(nonsense, dtype=torch.float64), TARGET, OUTLIER_SCALE)
    assert float(residual.square().mean().sqrt()) > MAX_RESIDUAL
    box = (0.0, 0.0, 100.0, 100.0)
    assert torch.equal(align([Face(box, landmarks=nonsense)], 512), align([Face(box)], 512))


def test_all_landmarks_on_one_spot_do_not_break() -> None:
    face = Face((0, 0, 8, 8), landmarks=((4.0, 4.0),) * 5)
    assert bool(align([face], 512).isfinite().all())


def test_no_faces() -> None:
    assert align([], 512).shape == (0, 2, 3)
