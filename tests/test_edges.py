"""Which pixels of a window are repainted, and which are put back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as how_often
from hypothesis import strategies as st
from torch import Tensor
from visage.faces.face import Face
from visage.faces.windows import Window, WindowSettings, plan_window
from visage.pipeline.edges import Edges, edges_of
from visage.pipeline.refine_settings import EdgeSettings

CPU = torch.device("cpu")
LANDMARKS = ((285.0, 290.0), (315.0, 290.0), (300.0, 305.0), (288.0, 322.0), (312.0, 322.0))
OUTLINE = ((280, 270), (320, 270), (325, 310), (300, 338), (275, 310))
FACE = Face((270, 260, 330, 340), landmarks=LANDMARKS, outline=OUTLINE)


def window_of(face: Face, roll: float | None = None, **how: object) -> Window:
    plan = WindowSettings(guide_size=64, guide_by="face", **how)  # type: ignore[arg-type]
    return plan_window(0, face.box, roll, 700, 600, plan, 8)


def whole(edges: Edges | None, window: Window) -> Edges:
    """With the result on all of the window."""
    assert edges is not None
    left, top, right, bottom = edges.box
    assert edges.result.shape == (bottom - top, right - left)
    result = torch.zeros(window.height, window.width)
    result[top:bottom, left:right] = edges.result
    return replace(edges, result=result)


def made(
    settings: EdgeSettings, face: Face = FACE, region: Tensor | None = None, **how: object
) -> tuple[Edges, Window]:
    window = window_of(face, face.roll, **how)
    return whole(edges_of([face], window, settings, region, CPU), window), window


def centre(mask: Tensor) -> tuple[float, float]:
    y, x = torch.meshgrid(torch.arange(mask.shape[0]), torch.arange(mask.shape[1]), indexing="ij")
    return float((mask * x).sum() / mask.sum()), float((mask * y).sum() / mask.sum())


@pytest.mark.parametrize(
    ("shape", "merge"),
    [(shape, merge) for shape in ("box", "ellipse", "hull", "outline") for merge in ("none", "invert")]
    + [("mask", "none")],
)
@pytest.mark.parametrize("roll", [None, 40.0])
def test_all_that_is_put_back_was_repainted_in_full(shape: str, merge: str, roll: float | None) -> None:
    region = torch.zeros(600, 700)
    region[265:335, 275:328] = 1
    how = EdgeSettings(shape=shape, merge=merge)  # type: ignore[arg-type]
    edges, window = made(how, replace(FACE, roll=roll), region if shape == "mask" and merge == "none" else None)
    assert edges.result.shape == edges.noise.shape == (window.height, window.width)
    if merge == "none":
        assert 0.02 < float(edges.result.mean()) < 0.5
    assert float(edges.noise[edges.result > 0].min()) == 1
    assert float(edges.noise.min()) >= 0
    assert float(edges.noise.max()) <= 1


def test_the_box_is_the_face_and_the_edges_have_their_widths() -> None:
    edges, window = made(EdgeSettings(dilation=0, feather=5, noise_feather=20))
    assert window.scale == pytest.approx(64 / 60)
    row = edges.result[window.height // 2]
    assert float((row == 1).sum()) == pytest.approx(64, abs=1)
    assert float(((row > 0) & (row < 1)).sum()) == pytest.approx(8, abs=2)
    noise = edges.noise[window.height // 2]
    assert float((noise == 1).sum()) == pytest.approx(76, abs=1)
    assert float(((noise > 0) & (noise < 1)).sum()) == pytest.approx(38, abs=2)


def test_dilation_grows_and_shrinks() -> None:
    areas = [float((made(EdgeSettings(dilation=dilation))[0].result == 1).sum()) for dilation in (-8, 0, 8)]
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] == pytest.approx((64 + 16) * (80 * 64 / 60 + 16), rel=0.02)


@pytest.mark.parametrize("shape", ["box", "ellipse", "hull", "outline", "mask"])
def test_offsets_move_to_the_right_and_up(shape: str) -> None:
    region = torch.zeros(600, 700)
    region[260:340, 270:330] = 1

    def at(x: int, y: int) -> tuple[float, float]:
        moved = EdgeSettings(shape=shape, x_offset=x, y_offset=y, feather=1)  # type: ignore[arg-type]
        # The region itself limits the result, so what moves is seen in the noise.
        return centre((made(moved, region=region if shape == "mask" else None)[0].noise == 1).float())

    (x, y), (there_x, there_y) = at(0, 0), at(12, 7)
    assert there_x - x == pytest.approx(12, abs=0.6)
    assert there_y - y == pytest.approx(-7, abs=0.6)


def test_inverted_is_all_but_the_face_and_still_ends_before_the_sides() -> None:
    plain, _ = made(EdgeSettings())
    inverted, _ = made(EdgeSettings(merge="invert"))
    assert float((plain.result * inverted.result).max()) <= 0.25
    assert float(inverted.result.mean()) > 0.5
    for side in (inverted.result[0], inverted.result[-1], inverted.result[:, 0], inverted.result[:, -1]):
        assert float(side.max()) == 0


def test_a_side_on_the_border_of_the_frame_does_not_fade() -> None:
    face = Face((0, 0, 60, 80))
    edges, _ = made(EdgeSettings(), face)
    assert float(edges.result[0, 0]) == 1
    assert float(edges.result[-1].max()) == float(edges.result[:, -1].max()) == 0


def test_several_faces_are_one_where_they_are_merged() -> None:
    other = Face((380, 260, 440, 340))
    window = plan_window(0, (270, 260, 440, 340), None, 700, 600, WindowSettings(guide_size=64), 8)
    both = whole(edges_of([FACE, other], window, EdgeSettings(merge="merge"), None, CPU), window).result
    each = [whole(edges_of([face], window, EdgeSettings(), None, CPU), window).result for face in (FACE, other)]
    assert torch.equal(both, torch.maximum(*each))
    without = whole(edges_of([FACE, other], window, EdgeSettings(merge="merge and invert"), None, CPU), window).result
    assert float((without * both).max()) <= 0.25


def test_a_face_outside_the_region_has_nothing_to_put_back() -> None:
    region = torch.zeros(600, 700)
    region[:, :300] = 1
    edges, window = made(EdgeSettings(), region=region)
    assert float(edges.result.max()) == 1
    region[:, 200:300] = 0
    assert edges_of([FACE], window, EdgeSettings(), region, CPU) is None


@pytest.mark.parametrize("shape", ["box", "ellipse", "hull"])
@pytest.mark.parametrize("roll", [None, 35.0])
def test_what_is_put_back_ends_in_zeros(shape: str, roll: float | None) -> None:
    face = replace(FACE, roll=roll)
    window = window_of(face, roll)
    edges = edges_of([face], window, EdgeSettings(shape=shape, feather=9), None, CPU)  # type: ignore[arg-type]
    assert edges is not None
    for side in (edges.result[0], edges.result[-1], edges.result[:, 0], edges.result[:, -1]):
        assert float(side.max()) == 0


def test_a_connected_mask_counts_for_the_face_that_it_lies_on() -> None:
    region = torch.zeros(600, 700)
    region[270:330, 280:320] = 1
    region[270:330, 420:480] = 1
    edges, window = made(EdgeSettings(shape="mask", dilation=0, feather=1), region=region)
    whole_rows, whole_columns = (edges.result == 1).any(1).sum(), (edges.result == 1).any(0).sum()
    assert float(whole_columns) / window.scale == pytest.approx(40, abs=2)
    assert float(whole_rows) / window.scale == pytest.approx(60, abs=2)


def test_the_shape_of_a_mask_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a mask"):
        made(EdgeSettings(shape="mask"))


def test_a_face_without_landmarks_or_outline_is_an_ellipse() -> None:
    bare = Face(FACE.box)
    oval = made(EdgeSettings(shape="ellipse"), bare)[0].result
    assert torch.equal(made(EdgeSettings(shape="hull"), bare)[0].result, oval)
    assert torch.equal(made(EdgeSettings(shape="outline"), bare)[0].result, oval)


@how_often(max_examples=60, deadline=None)
@given(
    feather=st.integers(0, 60),
    noise_feather=st.integers(0, 60),
    dilation=st.integers(-30, 60),
    factor=st.sampled_from([1.0, 1.5, 3.0]),
    roll=st.sampled_from([None, 25.0, 90.0]),
)
def test_the_sides_of_a_window_never_show(
    feather: int, noise_feather: int, dilation: int, factor: float, roll: float | None
) -> None:
    settings = EdgeSettings(dilation=dilation, feather=feather, noise_feather=noise_feather)
    edges, _ = made(settings, replace(FACE, roll=roll), crop_factor=factor)
    for side in (edges.result[0], edges.result[-1], edges.result[:, 0], edges.result[:, -1]):
        assert float(side.max()) == 0
