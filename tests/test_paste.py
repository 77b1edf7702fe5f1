"""Extracting and pasting: what changes, what must not, and facexlib's paste as the reference."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from visage.faces.alignment import FFHQ
from visage.faces.crops import Crops, extract, extract_mask, inside_frame, plan_crops
from visage.faces.face import Face, PixelBox
from visage.faces.masks import FEATHER
from visage.faces.paste import Patch, blend
from visage.pipeline import BlendSettings, paste_crops


def face(x: float, y: float, side: float, degrees: float = 0.0) -> Face:
    """A face whose FFHQ crop is a square of ``side`` frame pixels around ``x, y``."""
    turn, unit = math.radians(degrees), side / 512
    landmarks = []
    for px, py in FFHQ.points:
        dx, dy = (px - 255.5) * unit, (py - 255.5) * unit
        landmarks.append((x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)))
    half = side / FFHQ.box_share / 2
    return Face((x - half, y - half, x + half, y + half), landmarks=tuple(landmarks))


def crops_of(frames: torch.Tensor, *faces: Face, size: int = 128, frame: int = 0) -> Crops:
    return plan_crops([(frame, one) for one in faces], size, frames.shape[2], frames.shape[1], frames.shape[0])


def paste(frames: torch.Tensor, crops: Crops, pixels: torch.Tensor, **how: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels as they are, in a soft square."""
    return paste_crops(frames, crops, pixels, BlendSettings(colour=0, **how))


@pytest.fixture(scope="session")
def photograph(data: Path) -> torch.Tensor:
    picture = cv2.imread(str(data / "photos" / "dlib_faces" / "2008_002470.jpg"))
    return torch.from_numpy(picture[..., ::-1].astype(np.float32) / 255)[None]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.floats(-40, 240),
    st.floats(-40, 160),
    st.floats(8, 500),
    st.floats(-180, 180),
    st.sampled_from([3, 4]),
    st.integers(0, 1),
)
def test_pixels_outside_the_mask_keep_their_bits(x, y, side, degrees, channels, frame) -> None:
    frames = torch.rand(2, 120, 200, channels, generator=torch.Generator().manual_seed(1))
    before = frames.clone()
    crops = crops_of(frames, face(x, y, side, degrees), frame=frame)
    result, changed = paste(frames, crops, torch.rand(1, 128, 128, 3))
    assert torch.equal(frames, before)
    untouched = changed == 0
    assert torch.equal(result[untouched], frames[untouched])
    assert torch.equal(result[1 - frame], frames[1 - frame])
    assert torch.equal(result[..., 3:], frames[..., 3:])
    assert bool(result.isfinite().all())
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    # What changed lies within the crop's square.
    ys, xs = torch.nonzero(changed[frame], as_tuple=True)
    if len(xs):
        reach = side / math.sqrt(2) + 1.5
        assert float(torch.hypot(xs - x, ys - y).max()) <= reach


def test_strength_zero_and_no_face_give_the_very_frames() -> None:
    frames = torch.rand(1, 40, 40, 3)
    crops = crops_of(frames, face(20, 20, 30))
    pixels = torch.zeros(1, 128, 128, 3)
    assert paste(frames, crops, pixels, strength=0)[0] is frames
    none = crops.take([])
    assert paste(frames, none, pixels[:0])[0] is frames


def test_strength_is_a_share_of_the_change() -> None:
    frames = torch.rand(1, 100, 100, 3)
    crops = crops_of(frames, face(50, 50, 60))
    pixels = torch.rand(1, 128, 128, 3)
    full, _ = paste(frames, crops, pixels)
    half, changed = paste(frames, crops, pixels, strength=0.5)
    assert torch.allclose(half - frames, (full - frames) / 2, atol=1e-6)
    assert float(changed.max()) == pytest.approx(0.5)


@pytest.mark.parametrize("side", [90, 128, 300, 700])
@pytest.mark.parametrize("degrees", [0, 17, 90, -135])
def test_cutting_out_and_pasting_back_changes_next_to_nothing(side, degrees) -> None:
    """On a picture without detail finer than the crop, round trips are exact: no shift, no seam, no shade."""
    y, x = torch.meshgrid(torch.arange(400.0), torch.arange(500.0), indexing="ij")
    frames = torch.stack([0.5 + 0.4 * torch.sin(x / 23), 0.5 + 0.4 * torch.cos(y / 31), (x + y) / 900], -1)[None]
    crops = crops_of(frames, face(250, 200, side, degrees), size=256)
    result, changed = paste(frames, crops, extract(frames, crops))
    assert float(changed.max()) > 0.99
    # A crop of 700 px reaches beyond the frame, where only the border goes on, and is shrunk by almost three.
    assert float((result - frames).abs().max()) * 255 < (4 if side == 700 else 0.7)
    assert float((result - frames).mean().abs()) * 255 < 0.02


@pytest.mark.parametrize("enlarged", [2, 3])
def test_pasting_into_an_enlarged_frame_is_exact_where_facexlib_is_half_a_pixel_off(enlarged) -> None:
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    ramp = torch.stack([x / 159, y / 119, (x + y) / 278], -1)[None]
    large_y = ((torch.arange(120.0 * enlarged) + 0.5) / enlarged - 0.5)[:, None]
    large_x = ((torch.arange(160.0 * enlarged) + 0.5) / enlarged - 0.5)[None, :]
    grid = torch.broadcast_tensors(large_x / 159, large_y / 119, (large_x + large_y) / 278)
    truth = torch.stack(grid, -1)[None]
    crops = crops_of(ramp, face(80, 60, 80, 20), size=256)
    result, changed = paste(torch.zeros_like(truth), crops, extract(ramp, crops))
    inside = changed > 0.9999
    assert int(inside.sum()) > 1000
    ours = float((result - truth)[inside].abs().mean()) * 255
    # facexlib adds enlarged / 2 to the shift where (enlarged - 1) / 2 is right.
    off_by_half = float((0.5 / enlarged) / 159 * 255)
    assert ours < 0.1 < off_by_half


def test_a_crop_may_come_back_finer_than_it_was_taken() -> None:
    frames = torch.rand(1, 100, 100, 3)
    crops = crops_of(frames, face(50, 50, 70, 12))
    coarse = extract(frames, crops)
    fine = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    one, _ = paste(frames, crops, coarse)
    two, _ = paste(frames, crops, fine)
    assert float((one - two).abs().mean()) * 255 < 0.5


def test_overlapping_faces_are_not_blended_twice_and_their_order_is_free() -> None:
    frames = torch.zeros(1, 120, 200, 3)
    faces = [face(80, 60, 90), face(110, 60, 80, 20), face(95, 70, 60)]
    crops = crops_of(frames, *faces)
    ones = torch.ones(3, 128, 128, 3)
    result, changed = paste(frames, crops, ones)
    # Faces of one colour must give that colour, never more and nowhere less than the strongest mask.
    assert float(result.max()) <= 1 + 1e-6
    strongest = torch.stack([paste(frames, crops.take([index]), ones[:1])[1] for index in range(3)])
    assert bool((changed <= strongest.amax(0) + 1e-5).all())
    assert bool((changed >= strongest.amin(0) - 1e-5).all())
    colours = torch.rand(3, 1, 1, 3).expand(-1, 128, 128, -1).clone()
    forward, _ = paste(frames, crops, colours)
    backward, _ = paste(frames, crops.take([2, 1, 0]), colours.flip(0))
    assert torch.allclose(forward, backward, atol=1e-6)


def test_where_two_faces_touch_each_keeps_its_own_middle() -> None:
    frames = torch.zeros(1, 120, 240, 3)
    crops = crops_of(frames, face(90, 60, 100), face(150, 60, 100))
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    pixels = torch.stack([red.expand(128, 128, 3), blue.expand(128, 128, 3)])
    result, _ = paste(frames, crops, pixels)
    assert float(result[0, 60, 90, 0]) > 0.9
    assert float(result[0, 60, 150, 2]) > 0.9
    assert torch.allclose(result[0, 60, 120], torch.tensor([0.5, 0, 0.5]), atol=0.02)


@pytest.mark.parametrize(
    "places",
    [
        [(200, 200, 220), (330, 280, 110)],
        [(200, 200, 260), (290, 300, 60)],
        [(180, 200, 150, 20), (300, 210, 150, -35), (240, 300, 200, 90)],
    ],
)
def test_a_neighbour_takes_nothing_from_what_a_face_covers(places) -> None:
    """As much changes together as the strongest does alone: nothing of the frame shows through in between."""
    frames = torch.full((1, 400, 480, 3), 0.2)

    def pasted(*chosen) -> tuple[torch.Tensor, torch.Tensor]:
        crops = crops_of(frames, *(face(*place) for place in chosen))
        return paste(frames, crops, torch.ones(len(chosen), 128, 128, 3))

    together, changed = pasted(*places)
    alone = torch.stack([pasted(place)[1] for place in places]).amax(0)
    torch.testing.assert_close(changed, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        together, torch.lerp(frames, torch.ones_like(frames), alone[..., None]), atol=1e-5, rtol=0
    )


def test_no_frame_shows_through_at_the_ends_of_a_tall_patch() -> None:
    """A person's box: its claim must not be lost to the faint edge of a neighbour's at its feet."""
    frames = torch.full((1, 400, 200, 3), 0.2)
    tall, wide = upright_patch((20, 10, 80, 390)), upright_patch((60, 150, 190, 395))
    alone = []
    for patches in ([tall], [wide], [tall, wide]):
        result, changed = frames.clone(), torch.zeros(1, 400, 200)
        blend(result, changed, frames, patches, 1.0)
        alone.append(changed)
        torch.testing.assert_close(result[..., 0], 0.2 + 0.8 * changed, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone[2], torch.maximum(alone[0], alone[1]), atol=1e-5, rtol=0)


def upright_patch(box: PixelBox) -> Patch:
    """White, with an edge of 20 pixels."""
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    across = torch.minimum(torch.arange(width), torch.arange(width).flip(0))
    down = torch.minimum(torch.arange(height), torch.arange(height).flip(0))
    mask = (torch.minimum(across, down[:, None]) / 20).clamp(max=1)
    corners = tuple((x - 0.5, y - 0.5) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)))
    here = torch.tensor([[1.0, 0.0, left], [0.0, 1.0, top]], dtype=torch.float64)
    return Patch(
        frame=0,
        box=box,
        corners=corners,
        mask=mask[..., None],
        from_mask=here,
        pixels=torch.ones(height, width, 3),
        from_pixels=here,
        interpolation="bilinear",
    )


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("side", [6, 11, 20, 40])
def test_small_faces_have_no_dark_rim(side, degrees) -> None:
    """A crop that is shrunk to a few pixels: what lies beyond its border must not be read as black."""
    frames = torch.full((1, 60, 60, 3), 0.8)
    crops = crops_of(frames, face(30.3, 29.6, side, degrees), size=512)
    for feather in (FEATHER, 0.005):
        result, changed = paste(frames, crops, torch.full((1, 512, 512, 3), 0.8), feather=feather)
        assert float(changed.max()) > 0.5
        torch.testing.assert_close(result, frames, atol=1e-5, rtol=0)


def test_a_batch_of_frames_is_its_frames_alone() -> None:
    frames = torch.rand(3, 90, 120, 3)
    placed = [(0, face(40, 40, 50)), (2, face(60, 50, 70, 30)), (2, face(90, 40, 40))]
    crops = plan_crops(placed, 128, 120, 90, 3)
    pixels = torch.rand(3, 128, 128, 3)
    together, changed = paste(frames, crops, pixels)
    assert torch.equal(together[1], frames[1])
    last = plan_crops([(0, one) for frame, one in placed if frame == 2], 128, 120, 90, 1)
    alone, _ = paste(frames[2:], last, pixels[1:])
    assert torch.allclose(together[2:], alone, atol=1e-6)
    assert float(changed[1].max()) == 0


def test_half_precision_frames(generator) -> None:
    frames = torch.rand(1, 80, 80, 3, generator=generator).half()
    crops = crops_of(frames, face(40, 40, 50))
    result, changed = paste(frames, crops, torch.rand(1, 128, 128, 3, generator=generator))
    assert result.dtype == torch.float16
    assert torch.equal(result[changed == 0], frames[changed == 0])


def test_frames_of_another_size_are_refused() -> None:
    frames = torch.rand(1, 80, 80, 3)
    crops = crops_of(frames, face(40, 40, 50))
    with pytest.raises(ValueError, match="80x80"):
        extract(frames[:, :40], crops)
    with pytest.raises(ValueError, match="batch"):
        extract(frames[0], crops)


def test_inside_frame_and_masks_of_frames() -> None:
    frames = torch.rand(1, 80, 80, 3)
    crops = crops_of(frames, face(0, 40, 60), size=64)
    shown = inside_frame(crops, torch.device("cpu"))
    assert 0.4 < float(shown.mean()) < 0.6
    assert float(shown[0, 32, 50]) == 1
    assert float(shown[0, 32, 10]) == 0
    left = torch.zeros(1, 80, 80)
    left[..., :15] = 1
    seen = extract_mask(left, crops)
    assert float(seen[0, 32, 20]) == pytest.approx(1, abs=0.05)
    assert float(seen[0, 32, 60]) == pytest.approx(0, abs=0.05)


def facexlib_paste(picture: torch.Tensor, matrix: torch.Tensor, restored: torch.Tensor) -> np.ndarray:
    """facexlib's paste of ``[S, S, 3]`` into ``[H, W, 3]``, in levels of 255.

    It rounds to 8 bits on the way and then cuts the fraction off, which is worth a third of a level. Given a hundred
    times the values it takes them for 16 bits and the geometry can be compared without that.
    """
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper

    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)  # Its constructor downloads networks.
    helper.upscale_factor, helper.face_size, helper.use_parse = 1, (512, 512), False
    helper.input_img = picture.numpy() * 25500
    helper.affine_matrices, helper.inverse_affine_matrices = [matrix.numpy()], []
    helper.restored_faces = [restored.numpy() * 25500]
    helper.get_inverse_affine()
    return helper.paste_faces_to_input_image().astype(np.float32) / 100


@pytest.mark.parametrize(("side", "degrees"), [(430, 11), (300, -40)])
def test_pasting_equals_facexlib_at_scale_one(photograph, side, degrees) -> None:
    """The same face, restored or not, lands on the same pixels with the same weight."""
    crops = crops_of(photograph, face(300, 208, side, degrees), size=512)
    restored = extract(photograph, crops).flip(3)  # Channels swapped: a face that is clearly another.
    ours, changed = paste(photograph, crops, restored)
    theirs = facexlib_paste(photograph[0], crops.matrices[0], restored[0])
    difference = np.abs(ours[0].numpy() * 255 - theirs)
    inside = changed[0].numpy() > 0.999
    assert inside.sum() > 30_000
    assert float(difference[inside].mean()) <= 0.1
    # The feather is facexlib's as well: what it makes of a step of this size stays within a few levels.
    assert float(difference.mean()) <= 0.5
