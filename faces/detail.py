"""What a frame shows and a crop of it cannot: put back wherever a restorer left the crop as it was.

A crop that is cut out and put back has been resampled twice. That alone takes the finest detail of faces, and of faces
larger than the crop most of it, also where nothing else was done to them.

And what stands beside a face, which restorers of faces do not know: leaves, curls and cloth come back where they were
merely smoothed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .face import PixelBox
from .grain import grain_taken
from .sampling import Interpolation, view
from .texture import brightness, in_areas, median

# Side in pixels of the crop of the areas that are compared.
_AREA = 16
# Of an area is nothing kept where the restorer changed this share of the energy of its finest band, and all where it
# changed none.
_CHANGED = 0.15
# Where an upscaler changed that much of it, its finer detail is not the picture's: grain of scans, drawn as texture.
_REDRAWN = 1.0
# Energy of a band that is as good as none: about a quarter of a level of 255, squared.
_NOTHING = 1e-6
# Spread of what a sharp face of 1024 pixels loses, at most, if it has no noise.
_QUIET = 1 / 255
# Standard deviations to median deviations of normal noise, and how many times its energy is held against what is lost.
_NORMAL, _MARGIN = 1 / 0.6745, 1.5
# Side of the blocks of a JPEG file. They show where this share more is lost at their borders than within, and fully
# with as much more. It is up to 0.07 in sharp faces without blocks, 0.14 to 0.36 at quality 75.
_BLOCK = 8
_UNEVEN, _MORE_UNEVEN = 0.1, 0.1
# Beside a face nothing comes back unless this share of its finest band is gone, and all with as much more.
_GONE, _MORE_GONE = 0.1, 0.3
# Smaller areas of a frame, in pixels, tell little of its texture.
_LEAST_AREA = 4


@dataclass(frozen=True, eq=False)
class Comparison:
    """Some crops beside what a restorer made of them.

    Attributes:
        shown: ``[B, H, W, 3 or more]`` 0..1, the frames that it got the crops from.
        given: ``[N, T, T, 3]`` 0..1, the crops as cut out of the frames that they are put into. Where these are
            enlarged, the restorer has not seen them: an upscaler may have drawn there what is not in ``shown``.
        kept: ``[N, K, K]`` 0..1, from :func:`kept_detail`, for enlarged frames times :func:`trusted_detail`.
        grain: how much of the grain of the frames is to stay on the faces, 0..1.
    """

    shown: Tensor
    given: Tensor
    kept: Tensor
    grain: float


@dataclass(frozen=True, eq=False)
class Detail:
    """What tells which of the frame's own detail a restored crop is given back. The frame is the one that the crop is
    put into.

    Attributes:
        shown: ``[H, W, 3 or more]`` 0..1, the frame that the restorer got the crop from: the same, or before it was
            enlarged.
        given: ``[T, T, 3]`` 0..1, the crop as cut out of the frame.
        kept: ``[K, K, 1]`` 0..1, how much of its finest detail the restorer left as it was, area by area.
        oval: ``[T, T, 1]`` 0..1, the face in the crop.
        grainy: ``[T, T, 1]`` 0..1, how much of the frame's grain is to stay.
        from_shown, from_given, from_kept: ``[2, 3]`` from pixels of these to pixels of the frame; that of ``oval`` and
            ``grainy`` is the second.
    """

    shown: Tensor
    given: Tensor
    kept: Tensor
    oval: Tensor
    grainy: Tensor
    from_shown: Tensor
    from_given: Tensor
    from_kept: Tensor

    def lost(self, part: Tensor, box: PixelBox, interpolation: Interpolation) -> Tensor:
        """``[h, w, 3]``: what is to be added to the restored crop.

        What looks like noise is not: where the picture has noise, it counts as lost with the detail, and a restorer
        takes it from the crop without being able to see all of it. Nor are the borders of a JPEG file's blocks.

        Args:
            part: ``[h, w, 3]``, the frame on the pixels of ``box``.
        """
        left, top, right, bottom = box
        height, width = bottom - top, right - left
        seen = view(self.given, self.from_given, height, width, interpolation, left=left, top=top)
        lost = (part - seen).nan_to_num_(0)
        grey = brightness(lost)
        every = max(1, min(height, width) // 256)
        noise = grey[::every, ::every].abs().median() * _NORMAL
        beyond = (noise.square() - _QUIET**2).clamp_min(0)
        energy = in_areas(grey.square()[None, None], self._area)
        share = ((energy - _MARGIN * beyond) / energy.clamp_min(torch.finfo(energy.dtype).tiny)).clamp_(0, 1)
        share = F.interpolate(share, (height, width), mode="bilinear")[0, 0]
        kept = view(self.kept, self.from_kept, height, width, "bilinear", left=left, top=top)
        lost.mul_((share * kept[..., 0])[..., None])
        return without_blocks(lost, max(round(self._area), _BLOCK * 2))

    def smoothed(self, made: Tensor, box: PixelBox) -> Tensor:
        """``[h, w, 1]`` 0..1: how much of the frame is to stay beside the face, where its texture was taken for noise.

        Noise is everywhere: what was taken of the face itself, half of whose areas are skin, tells how much of it there
        is. Where much more is gone, and nothing came in its place, it was texture. What an upscaler drew into an
        enlarged frame was never there to be taken.

        Args:
            made: ``[h, w, 3]``, the restored crop on the pixels of ``box``.
        """
        left, top, right, bottom = box
        height, width = bottom - top, right - left
        shown = view(self.shown[..., :3], self.from_shown, height, width, left=left, top=top)
        before, after = _finest(brightness(shown).nan_to_num(0)[None, None]), _finest(brightness(made)[None, None])
        side = max(self._area, _LEAST_AREA)
        taken, there, left_over = (in_areas(band.square(), side) for band in (before - after, before, after))
        face = view(self.oval, self.from_given, height, width, "bilinear", border="zero", left=left, top=top)
        noise = _MARGIN * median(taken, in_areas(face[None, None, ..., 0], side) > 0.9)
        texture = (1 - noise / taken.clamp_min(_NOTHING)).clamp_(0, 1)
        gone = 1 - left_over / there.clamp_min(_NOTHING)
        share = texture * ((gone - _GONE) / _MORE_GONE).clamp_(0, 1)
        share = F.interpolate(share, (height, width), mode="bilinear")[0, 0]
        return share[..., None] * (1 - face)

    def grain(self, part: Tensor, made: Tensor, box: PixelBox) -> Tensor:
        """``[h, w, 3]``: what is to be added to the restored crop for the grain of the frame.

        Args:
            part: ``[h, w, 3]``, the frame on the pixels of ``box``.
            made: ``[h, w, 3]``, the restored crop there.
        """
        left, top, right, bottom = box
        size = bottom - top, right - left
        face = view(self.oval, self.from_given, *size, "bilinear", border="zero", left=left, top=top)[..., 0]
        stays = view(self.grainy, self.from_given, *size, "bilinear", left=left, top=top)
        return grain_taken(part, made, face, self._area / _AREA, float(self.from_shown[0, 0])) * stays

    @property
    def _area(self) -> float:
        """Side in pixels of the frame of the areas that are compared."""
        (a, b, _), (c, d, _) = self.from_given.tolist()
        return _AREA * math.sqrt(abs(a * d - b * c))


def kept_detail(given: Tensor, restored: Tensor) -> Tensor:
    """How much of the finest detail of crops a restorer left as it was.

    Args:
        given: ``[N, T, T, 3]`` 0..1.
        restored: ``[N, S, S, 3]`` 0..1, the same crops afterwards, of any side ``S``.

    Returns:
        ``[N, K, K]`` 0..1, area by area.
    """
    return (1 - _changed(given, restored) / _CHANGED).clamp_(0, 1)


def trusted_detail(given: Tensor, enlarged: Tensor) -> Tensor:
    """How much of its finer detail an enlarged frame may give back, by what enlarging did to the finest of its crops.

    Args:
        given: ``[N, T, T, 3]`` 0..1.
        enlarged: ``[N, T, T, 3]`` 0..1, the same crops of the enlarged frame.

    Returns:
        ``[N, K, K]`` 0..1, area by area.
    """
    return (1 - _changed(given, enlarged) / _REDRAWN).clamp_(0, 1)


def _changed(given: Tensor, made: Tensor) -> Tensor:
    """``[N, K, K]``: energy of the change of the finest band, in shares of that of the band as it was, area by area."""
    before, after = brightness(given)[:, None], brightness(made)[:, None]
    if after.shape != before.shape:
        after = F.interpolate(after, before.shape[2:], mode="area")
    before, after = _finest(before), _finest(after)
    changed = in_areas((after - before).square(), _AREA) / (in_areas(before.square(), _AREA) + _NOTHING)
    return changed[:, 0]


def without_blocks(lost: Tensor, side: int) -> Tensor:
    """Fine detail ``[h, w, 3]`` that is no stronger beside the borders of JPEG blocks than within the blocks, area by
    area of ``side`` pixels; nothing is changed where no blocks show.

    The picture may have been cut since it was compressed, so the borders are looked for: they are where most is lost.
    """
    grey = brightness(lost)
    if min(grey.shape) < 2 * _BLOCK:
        return lost
    size = grey.abs().sqrt_()
    (across, column), (down, row) = _unevenness(size.mean(0)), _unevenness(size.mean(1))
    shown = (((across + down) / 2 - _UNEVEN) / _MORE_UNEVEN).clamp_(0, 1)
    # A GPU is not asked: its answer would have to be waited for.
    if lost.device.type == "cpu" and shown == 0:
        return lost
    x, y = (torch.arange(length, device=lost.device) for length in (lost.shape[1], lost.shape[0]))
    border = (((x - column) % _BLOCK < 2) | ((y - row) % _BLOCK < 2)[:, None]).to(lost.dtype)
    energy = grey.square()
    beside, within = (
        in_areas((energy * chosen)[None, None], side) / in_areas(chosen[None, None], side)
        for chosen in (border, 1 - border)
    )
    excess = 1 - (within / beside.clamp_min(torch.finfo(beside.dtype).tiny)).clamp_(0, 1).sqrt_()
    excess = F.interpolate(excess, grey.shape, mode="bilinear")[0, 0]
    return lost * (1 - excess * border * shown)[..., None]


def _unevenness(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """How much more is lost in the two lines at the border of a block than in its other six, as a share, and which line
    of the first eight is the first of the two. ``sizes`` is of each line."""
    places = sizes[: len(sizes) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(0)
    pairs = places + places.roll(-1)
    most, first = pairs.max(0)
    others = (places.sum() - most) / (_BLOCK - 2)
    return most / 2 / others.clamp_min(torch.finfo(others.dtype).tiny) - 1, first


def _finest(images: Tensor) -> Tensor:
    """What the pixels of ``[N, 1, H, W]`` have and the mean of their 3 x 3 neighbours in the image has not."""
    return images - _sum_around(images).div_(_sum_around(torch.ones_like(images[:1])))


def _sum_around(images: Tensor) -> Tensor:
    """Of 3 x 3 pixels each. A pooling takes the CPU six times as long."""
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1))
    total = torch.zeros_like(images)
    for top in range(3):
        for left in range(3):
            total += padded[..., top : top + height, left : left + width]
    return total
