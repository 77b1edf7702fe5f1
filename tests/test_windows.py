"""Windows: where they lie, what they show, and that what comes back lies where it was taken."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from visage.faces.face import Box
from visage.faces.geometry import apply, invert
from visage.faces.window_paste import settle
from visage.faces.windows import MIN_ROLL, Window, WindowSettings, extract_window, inside, plan_window, upright_sides

FRAME = (400, 300)
# Positions from -1024 to 1024 as shades from 0 to 1.
_SPAN = 2048.0

boxes = st.tuples(st.floats(-40, 390), st.floats(-40, 290), st.floats(4, 200), st.floats(4, 200)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
plans = st.builds(
    WindowSettings,
    guide_size=st.sampled_from([64, 256, 512]),
    crop_factor=st.sampled_from([1.0, 1.7, 3.0]),
    max_size=st.sampled_from([256, 512, 1024]),
    guide_by=st.sampled_from(["face", "crop"]),
    padding=st.sampled_from([0, 32]),
    shrink=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(box=boxes, roll=st.one_of(st.none(), st.floats(-180, 180)), plan=plans, multiple=st.sampled_from([1, 8, 64]))
def test_a_window_is_never_squeezed_and_has_the_sides_that_the_model_takes(
    box: Box, roll: float | None, plan: WindowSettings, multiple: int
) -> None:
    window = plan_window(0, box, roll, *FRAME, plan, multiple)
    assert window.width % multiple == window.height % multiple == 0
    assert max(window.width, window.height) < plan.max_size + multiple
    (a, b), (c, d) = window.matrix[:, :2].tolist()
    assert (a, b) == pytest.approx((d, -c))
    turned = roll is not None and abs(roll) >= MIN_ROLL
    assert window.roll == pytest.approx(roll if turned else 0, abs=1e-9)
    # The visible part of the face is inside the window.
    middle = [(max(box[0], 0) + min(box[2], FRAME[0] - 1)) / 2, (max(box[1], 0) + min(box[3], FRAME[1] - 1)) / 2]
    if not turned and box[2] > 1 and box[3] > 1 and box[0] < FRAME[0] - 2 and box[1] < FRAME[1] - 2:
        x, y = apply(window.matrix, torch.tensor([middle], dtype=torch.float64))[0].tolist()
        assert -1 <= x <= window.width
        assert -1 <= y <= window.height


@settings(max_examples=200, deadline=None)
@given(box=boxes, plan=plans.map(lambda plan: replace(plan, upright=False)), multiple=st.sampled_from([1, 8]))
def test_at_a_border_a_window_is_moved_and_shows_no_more_than_rounding_adds(
    box: Box, plan: WindowSettings, multiple: int
) -> None:
    window = plan_window(0, box, None, *FRAME, plan, multiple)
    (left, top), _, (right, bottom), _ = window.corners
    # Half a crop pixel is the way from the outermost centre to the edge.
    half = 0.5 / window.scale
    spare = multiple / window.scale + 1
    assert left - half > -0.5 - spare
    assert right + half < FRAME[0] - 0.5 + spare
    assert top - half > -0.5 - spare
    assert bottom + half < FRAME[1] - 0.5 + spare


def test_a_window_in_a_corner_is_as_large_as_one_in_the_middle() -> None:
    plan = WindowSettings(crop_factor=3)
    corner = plan_window(0, (0, 0, 40, 50), None, 1000, 800, plan, 8)
    middle = plan_window(0, (500, 400, 540, 450), None, 1000, 800, plan, 8)
    assert (corner.width, corner.height, corner.scale) == (middle.width, middle.height, middle.scale)
    assert corner.corners[0] == pytest.approx((-0.5 + 0.5 / corner.scale,) * 2)
    assert float(inside(corner, torch.device("cpu")).min()) == 1


def test_sizes_follow_the_guide() -> None:
    box = (500.0, 500.0, 600.0, 620.0)

    def planned(**how: object) -> Window:
        return plan_window(0, box, None, 2000, 2000, WindowSettings(**how), 8)  # type: ignore[arg-type]

    face = {"guide_size": 512, "guide_by": "face"}
    assert planned(**face, max_size=8192).scale == pytest.approx(5.12)
    assert (planned(**face, max_size=8192).width, planned(**face, max_size=8192).height) == (1536, 1848)
    assert planned(**face).height == 1024
    assert planned().height == 1024
    assert planned(guide_size=512).width == 512
    # A face that is larger than the guide keeps its pixels unless shrinking is asked for.
    assert planned(guide_size=64, guide_by="face").scale == 1
    assert planned(guide_size=64, guide_by="face", shrink=True).scale == pytest.approx(0.64)
    assert planned(guide_size=64).scale == 1
    assert planned(guide_size=64, shrink=True).width == 64


@settings(max_examples=300, deadline=None)
@given(
    size=st.sampled_from([512, 768, 1024]),
    width=st.floats(16, 500),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    frame=st.sampled_from([(512, 512), (832, 1216), (1216, 832), (1920, 1080)]),
)
def test_at_the_defaults_the_guide_size_is_that_of_the_crop(
    size: int, width: float, x: float, y: float, frame: tuple[int, int]
) -> None:
    """Of every crop that is enlarged; ``max_size`` goes first."""
    across, down = frame
    height = 1.27 * width
    assume(width < across and height < down)
    left, top = x * (across - width), y * (down - height)
    box = (left, top, left + width, top + height)
    window = plan_window(0, box, None, *frame, WindowSettings(guide_size=size), 8)
    sides = sorted([window.width, window.height])
    if window.scale > 1:
        assert sides[0] < size + 8
        assert sides[0] >= size or sides[1] >= 1024
    # The face fills more of it with a lower factor.
    closer = plan_window(0, box, None, *frame, WindowSettings(guide_size=size, crop_factor=2.0), 8)
    assert closer.scale >= window.scale
    if window.scale > 1 and 3 * height < down and 3 * width < across:
        assert closer.scale > 1.4 * window.scale


def test_a_large_face_gives_up_surroundings_before_pixels() -> None:
    native = plan_window(0, (500, 500, 1100, 1200), None, 4000, 4000, WindowSettings(), 8)
    assert native.scale == 1
    assert (native.width, native.height) == (1024, 1024)
    huge = plan_window(0, (500, 500, 2500, 2500), None, 4000, 4000, WindowSettings(), 8)
    assert huge.scale == pytest.approx(1024 / 2500)


def test_at_its_own_size_a_window_is_a_cut_out(generator: torch.Generator) -> None:
    frames = torch.rand(2, 300, 400, 3, generator=generator)
    window = plan_window(1, (100.3, 80.8, 190.1, 170.2), None, *FRAME, WindowSettings(guide_size=64, crop_factor=2), 8)
    assert window.scale == 1
    left, top = (round(-float(shift)) for shift in window.matrix[:, 2])
    assert torch.equal(extract_window(frames, window), frames[1, top : top + window.height, left : left + window.width])


def test_a_turned_window_shows_the_face_upright() -> None:
    for roll in (-170, -60, 20, 90, 135):
        box = (150.0, 100.0, 250.0, 200.0)
        window = plan_window(0, box, roll, *FRAME, WindowSettings(), 8)
        turn = math.radians(roll)
        # Two eyes beside each other on a face that is tilted clockwise by `roll`.
        eyes = torch.tensor([[200.0, 150.0], [200 + 20 * math.cos(turn), 150 + 20 * math.sin(turn)]])
        (ax, ay), (bx, by) = apply(window.matrix, eyes.double()).tolist()
        assert by == pytest.approx(ay, abs=1e-3)
        assert bx > ax


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 80.0])
def test_the_sides_of_a_tilted_face_come_from_the_box_around_it(angle: float) -> None:
    wide, high, turn = 100.0, 127.0, math.radians(angle)
    across = math.hypot(wide * math.cos(turn), high * math.sin(turn))
    down = math.hypot(wide * math.sin(turn), high * math.cos(turn))
    assert upright_sides((0, 0, across, down)) == pytest.approx((wide, high))


WINDOWS = [
    plan_window(0, box, roll, *FRAME, how, 8)
    for box in ((150.0, 100.0, 250.0, 220.0), (-10.0, 5.0, 60.0, 80.0), (370.0, 260.0, 398.0, 297.0))
    for roll in (None, 33.0, -90.0, 171.0)
    for how in (
        WindowSettings(guide_size=512, guide_by="face"),
        WindowSettings(guide_size=64, guide_by="face"),
        WindowSettings(guide_size=64, guide_by="face", shrink=True, max_size=64),
    )
]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"x{window.scale:.2f} at {window.roll:.0f}")
def test_a_window_that_comes_back_unchanged_changes_nothing(window: Window, generator: torch.Generator) -> None:
    frame = torch.rand(FRAME[1], FRAME[0], 3, generator=generator)
    given = extract_window(frame[None], window)
    mask = torch.ones(window.height, window.width)
    patch = settle(frame, window, given, given.clone(), mask)
    assert patch is not None
    left, top, right, bottom = patch.box
    assert float((patch.pixels - frame[top:bottom, left:right]).abs().max()) < 1e-6


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"x{window.scale:.2f} at {window.roll:.0f}")
def test_what_is_painted_in_a_window_lands_on_the_very_place(window: Window) -> None:
    """A picture of known positions, painted over a black frame, must come out with every pixel showing its own."""
    frame = torch.full((FRAME[1], FRAME[0], 3), 0.1)
    painted = _positions(window)
    mask = torch.ones(window.height, window.width)
    patch = settle(frame, window, extract_window(frame[None], window), painted, mask)
    assert patch is not None
    left, top, right, bottom = patch.box
    y, x = torch.meshgrid(torch.arange(top, bottom) + 0.0, torch.arange(left, right) + 0.0, indexing="ij")
    seen = apply(window.matrix, torch.stack([x, y], -1).double())
    # Away from the border of the window, beyond which there is nothing to interpolate with.
    inner = (seen > 3).all(-1) & (seen < torch.tensor([window.width - 4, window.height - 4])).all(-1)
    shown = patch.pixels * _SPAN - _SPAN / 2
    error = torch.stack([shown[..., 0] - x, shown[..., 1] - y], -1)[inner]
    assert len(error) > 50
    # No shift at all; single pixels are off by what interpolation costs.
    assert float(error.mean(0).abs().max()) < 0.002
    assert float(error.abs().max()) < 0.1 * max(1, 1 / window.scale)


def _positions(window: Window) -> Tensor:
    """``[h, w, 3]``: red and green tell where in the frame a pixel of the window lies, frame or beyond."""
    y, x = torch.meshgrid(torch.arange(window.height), torch.arange(window.width), indexing="ij")
    place = apply(invert(window.matrix), torch.stack([x, y], -1).double()).float()
    return torch.cat([place, place[..., :1]], -1) / _SPAN + 0.5


def test_cropping_to_the_model_and_stretching_back_would_move_the_face() -> None:
    """What happens where a crop is not rounded to the compression of the VAE: it cuts what is too much off all sides,
    and the result is stretched over the whole crop again. Sizes are those of guide 512, crop factor 3, max 1024."""
    shifts = []
    for wide in range(40, 200):
        for high in (round(wide * 1.2), round(wide * 1.35)):
            scale = min(512 / wide, 1024 / (3 * high))
            for side in (3 * wide, 3 * high):
                enlarged = int(side * scale)
                # So many pixels of the frame does the content at the edge of the crop move.
                shifts.append((enlarged - enlarged // 8 * 8) / 2 / scale)
    assert max(shifts) > 0.3
    assert sum(shift > 0 for shift in shifts) > len(shifts) / 3
