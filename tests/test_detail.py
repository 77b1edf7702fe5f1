"""The frame's own detail, which comes back where a restorer left a crop as it was."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.detail import kept_detail
from visage.faces.face import Face, Faces
from visage.faces.resizing import resize_frames
from visage.models.host import TorchHost
from visage.models.restorers import Restorer
from visage.models.restorers.network import Architecture, Network
from visage.pipeline import BlendSettings, RestoreSettings, restore

HOST = TorchHost("cpu", quiet=True)
SETTINGS = RestoreSettings(blend=BlendSettings(colour=0))
SIDE = 900
# Of stripes as fine as pixels go, which no crop of 512 pixels holds: an eighth of the picture, left and right.
LEFT, RIGHT = (slice(300, 500), slice(300, 400)), (slice(300, 500), slice(500, 600))


def face(degrees: float = 0) -> Face:
    """In a crop that covers 760 pixels around the middle."""
    cos, sin, unit = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 760 / 512
    points = [((x - 255.5) * unit, (y - 255.5) * unit) for x, y in FFHQ.points]
    landmarks = tuple((450 + x * cos - y * sin, 450 + x * sin + y * cos) for x, y in points)
    return Face((200.0, 200.0, 700.0, 700.0), landmarks=landmarks)


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """``[1, 900, 900, 3]``"""
    from skimage.data import astronaut

    photograph = torch.from_numpy(astronaut()[:225, 110:335].copy()).permute(2, 0, 1)[None].float() / 255
    grown = F.interpolate(photograph, (SIDE, SIDE), mode="bicubic")[0].movedim(0, -1).clamp(0.1, 0.9)
    stripes = torch.tensor([0.08, -0.08]).repeat(SIDE // 2)[:, None]
    for part in (LEFT, RIGHT):
        grown[part] += stripes[: part[1].stop - part[1].start]
    return grown[None].contiguous()


def restored(
    frames: Tensor, change: Callable[[Tensor], Tensor], degrees: float = 0, background: Tensor | None = None
) -> Tensor:
    """``[H, W, 3]``: the frame, or its background, after a network that does this to crops ``[N, 3, 512, 512]``."""
    kind = Architecture("changing", lambda module, images, options: change(images), False, 512, False, 100, False)
    restorer = Restorer(Network("changing", torch.nn.Conv2d(1, 1, 1), kind, 1), HOST)
    return restore(frames, Faces(SIDE, SIDE, ((face(degrees),),)), restorer, HOST, SETTINGS, background).frames[0]


def unchanged(crops: Tensor) -> Tensor:
    return crops


def blurred(crops: Tensor) -> Tensor:
    return F.avg_pool2d(crops, 7, stride=1, padding=3, count_include_pad=False)


def error(one: Tensor, other: Tensor, part: tuple[slice, slice]) -> float:
    """In levels of 255, on average."""
    return float((one[part] - other[part]).abs().mean()) * 255


@pytest.mark.parametrize("degrees", [0, 20])
def test_what_a_crop_cannot_hold_is_not_lost(portrait: Tensor, degrees: float) -> None:
    done = restored(portrait, unchanged, degrees)
    assert error(done, portrait[0], LEFT) < 0.5
    assert error(done, portrait[0], (slice(None), slice(None))) < 0.1


def test_what_the_restorer_changed_is_its_own(portrait: Tensor) -> None:
    done = restored(portrait, blurred)
    # The stripes are of 20 levels.
    assert error(done, portrait[0], LEFT) > 15


def test_one_side_may_change_and_the_other_keep_its_detail(portrait: Tensor) -> None:
    half = torch.arange(512) < 256
    done = restored(portrait, lambda crops: torch.where(half, blurred(crops), crops))
    assert error(done, portrait[0], LEFT) > 15
    assert error(done, portrait[0], RIGHT) < 0.5


def test_noise_is_not_put_back(portrait: Tensor) -> None:
    """As far as the crop cannot hold it; what it holds was for the restorer to take."""
    plain = portrait.clone()
    plain[0, 300:500] = plain[0, 299]
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(4)) * 10 / 255
    done = restored(plain + noise, unchanged)
    middle = slice(200, 700), slice(200, 700)
    assert error((plain + noise)[0], plain[0], middle) == pytest.approx(8, abs=0.2)
    assert error(done, plain[0], middle) < 6.2


def test_brightness_may_change_where_detail_is_kept(portrait: Tensor) -> None:
    done = restored(portrait, lambda crops: crops * 0.9)
    assert error(done, portrait[0] * 0.9, LEFT) < 1.5


def test_numbers_that_are_none_beside_the_crop_stay_there(portrait: Tensor) -> None:
    spoiled = portrait.clone()
    spoiled[0, 5, 880] = math.nan
    done = restored(spoiled, unchanged, 20)
    assert int(done.isnan().any(-1).sum()) == 1
    assert error(done, portrait[0], LEFT) < 0.5


def test_what_is_kept_is_told_by_means_over_neighbours(generator) -> None:
    """As poolings of PyTorch's tell it, to the bit."""
    given = torch.rand(2, 64, 48, 3, generator=generator)
    restored = (given + 0.1 * torch.rand(2, 64, 48, 3, generator=generator)).clamp(0, 1)

    def around(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)

    before, after = (images.mean(-1)[:, None] for images in (given, restored))
    before, after = before - around(before), after - around(after)
    changed, energy = (around(F.avg_pool2d(values.square(), 16)) for values in (after - before, before))
    assert torch.equal(kept_detail(given, restored), (1 - changed / (energy + 1e-6) / 0.15).clamp(0, 1)[:, 0])


# Beside the face, inside the square that is put back: stripes of 4 pixels, which a crop holds.
BESIDE = (slice(160, 700), slice(125, 165))


@pytest.fixture
def leaves(portrait: Tensor) -> Tensor:
    """``[1, 900, 900, 3]``: grey skin with two eyes, and stripes beside it."""
    grown = torch.full_like(portrait, 0.5)
    for x, y in FFHQ.points[:2]:
        column, row = round(450 + (x - 255.5) * 760 / 512), round(450 + (y - 255.5) * 760 / 512)
        grown[0, row - 10 : row + 10, column - 10 : column + 10] = 0.2
    stripes = torch.tensor([0.2, 0.2, -0.2, -0.2]).repeat(SIDE // 4)[:, None]
    grown[0][BESIDE] += stripes[: BESIDE[1].stop - BESIDE[1].start]
    return grown


@pytest.mark.parametrize("degrees", [0, 20])
def test_texture_beside_the_face_is_not_smoothed_as_if_it_were_noise(leaves: Tensor, degrees: float) -> None:
    inner = slice(200, 660), slice(135, 155)
    assert error(blurred(leaves.movedim(-1, 1)).movedim(1, -1)[0], leaves[0], inner) > 40
    assert error(restored(leaves, blurred, degrees), leaves[0], inner) < 10


def test_noise_beside_the_face_is_not_taken_for_texture(leaves: Tensor) -> None:
    """As texture it would stay with all there is, the old brightness included."""
    noise = torch.randn(leaves.shape, generator=torch.Generator().manual_seed(4)) * 10 / 255
    done = restored(torch.full_like(leaves, 0.5) + noise, lambda crops: blurred(crops) + 0.1)
    assert float(done[200:660, 135:155].mean()) == pytest.approx(0.6, abs=0.01)


def test_what_a_restorer_makes_sharper_beside_the_face_stays(leaves: Tensor) -> None:
    soft = F.avg_pool2d(leaves.movedim(-1, 1), 3, stride=1, padding=1).movedim(1, -1)

    def sharper(crops: Tensor) -> Tensor:
        return (crops + (crops - blurred(crops))).clamp(0, 1)

    inner = slice(200, 660), slice(135, 155)
    assert float(restored(soft, sharper)[inner].std()) > 1.3 * float(soft[0][inner].std())


def test_in_the_face_texture_is_the_restorers_own(leaves: Tensor) -> None:
    striped = leaves.clone()
    part = slice(440, 460), slice(440, 460)
    striped[0][part] += torch.tensor([0.2, 0.2, -0.2, -0.2]).repeat(5)[:, None]
    assert error(restored(striped, blurred), striped[0], part) > 20


def enlarged(part: tuple[slice, slice], factor: int) -> tuple[slice, slice]:
    """The same part of a frame of so many times the size."""
    rows, columns = (slice(factor * along.start, factor * along.stop) for along in part)
    return rows, columns


@pytest.fixture
def striped(portrait: Tensor) -> Tensor:
    """The portrait with stripes of 3 pixels in ``MIDDLE``, which a crop holds."""
    grown = portrait.clone()
    grown[0][MIDDLE] += torch.tensor([0.08, -0.08]).repeat_interleave(3).repeat(20)[:, None, None]
    return grown


MIDDLE = (slice(520, 640), slice(330, 570))
# Stripes as fine as the pixels of a frame of twice the size.
FINE = torch.tensor([0.08, -0.08]).repeat(120)[:, None, None]


@pytest.mark.parametrize("degrees", [0, 20])
def test_what_a_crop_cannot_hold_is_not_lost_of_an_enlarged_frame(striped: Tensor, degrees: float) -> None:
    large, part = resize_frames(striped, 2).clone(), enlarged(MIDDLE, 2)
    large[0][part] += FINE
    assert error(restored(striped, unchanged, degrees, large), large[0], part) < 10
    assert error(restored(striped, blurred, degrees, large), large[0], part) > 15


def test_where_an_upscaler_redrew_what_a_crop_holds_none_of_its_own_detail_comes(striped: Tensor) -> None:
    plain, part = resize_frames(striped, 2), enlarged(MIDDLE, 2)
    large = plain.clone()
    large[0][part] += FINE + torch.tensor([0.2, -0.2]).repeat_interleave(6).roll(3).repeat(20)[:, None, None]
    assert error(restored(striped, unchanged, 0, large), plain[0], part) < 10


@pytest.mark.parametrize("degrees", [0, 20])
def test_texture_beside_the_face_is_not_smoothed_in_an_enlarged_frame(leaves: Tensor, degrees: float) -> None:
    large, inner = resize_frames(leaves, 2), enlarged((slice(200, 660), slice(135, 155)), 2)
    assert error(restored(leaves, blurred, degrees, large), large[0], inner) < 10


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(("change", "part"), [(unchanged, LEFT), (blurred, LEFT), (blurred, BESIDE)])
def test_what_an_upscaler_drew_does_not_replace_what_a_crop_holds(
    portrait: Tensor, factor: int, change: Callable[[Tensor], Tensor], part: tuple[slice, slice]
) -> None:
    grain = torch.randn(portrait.shape, generator=torch.Generator().manual_seed(4)) * 2 / 255
    plain = torch.full_like(portrait, 0.5) + grain
    drawn = resize_frames(plain, factor).clone()
    rows, columns = enlarged(part, factor)
    stripes = torch.tensor([0.2, -0.2]).repeat_interleave(8 * factor).repeat(SIDE)[:, None, None]
    drawn[0, rows, columns] += stripes[: rows.stop - rows.start]
    done = restored(plain, change, background=drawn)[rows, columns]
    # The stripes are of 51 levels; at the ends of the part beside the face the square does not reach it.
    assert float((done - 0.5).abs().mean(-1).median()) * 255 < 15


def blocky(plain: Tensor, shift: int) -> Tensor:
    """``[H, W, 3]`` with the borders of blocks of 8 pixels, four levels high, from ``shift`` on."""
    levels = (torch.arange(SIDE) - shift).div(8, rounding_mode="floor") % 2
    return plain + (levels[:, None] ^ levels[None])[..., None] * 4 / 255


@pytest.mark.parametrize("shift", [0, 3])
def test_borders_of_jpeg_blocks_are_not_put_back(portrait: Tensor, shift: int) -> None:
    flat = torch.full_like(portrait[0], 0.5)
    frames = blocky(flat, shift)
    around, middle = slice(300 // 8 * 8 + shift, 600 // 8 * 8 + shift), slice(350, 550)
    steps = restored(frames[None], unchanged)[around, middle].diff(dim=0).abs().mean((1, 2)) * 255
    before = frames[around, middle].diff(dim=0).abs().mean((1, 2)) * 255
    assert before.max() == pytest.approx(4, abs=0.01)
    # What the crop holds of them was for the restorer to take.
    assert steps.max() < 3.3


def test_detail_within_jpeg_blocks_is_put_back(portrait: Tensor) -> None:
    frames = blocky(portrait[0], 0)[None]
    assert error(restored(frames, unchanged), frames[0], LEFT) < 1
