"""Putting crops back into frames without a visible seam, each inside its own box.

:func:`lay_out` says for each crop which pixels of its frame it covers, as a :class:`Patch`. :func:`blend` then samples
the patches on these pixels and mixes them in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .crops import Crops
from .detail import Comparison, Detail
from .face import PixelBox, Point
from .geometry import apply, compose, invert, resize_matrix
from .grain import grain_mask
from .masks import ellipse
from .sampling import Interpolation, view

# How fast a crop gives way to a neighbour's where both cover a pixel: standard deviation, as a share of each of the
# crop's sides, of its claim around its centre. A quarter is the radius of the face itself in an FFHQ crop.
_CLAIM = 0.25
# How softly a face ends where the frame's texture beside it may stay, as a share of the crop.
_OVAL_FEATHER = 0.03

Corners = tuple[Point, Point, Point, Point]
"""In the order of the outline."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Place:
    """Where a crop lies in its frame, and how much of each pixel is its own.

    Attributes:
        frame: which frame of the batch.
        box: the pixels of the frame that the crop covers.
        corners: of the crop, in frame pixels, in the order of its outline.
        mask: ``[T, T, 1]`` 0..1, its mask.
        from_mask: ``[2, 3]`` from pixels of the mask to pixels of the frame.
        region: ``[h, w, 1]`` 0..1, where the frame may change, or ``None`` for everywhere.
        from_region: ``[2, 3]`` from its pixels to pixels of the frame.
    """

    frame: int
    box: PixelBox
    corners: Corners
    mask: Tensor
    from_mask: Tensor
    region: Tensor | None = None
    from_region: Tensor | None = None

    def mask_in(self, box: PixelBox) -> Tensor:
        """``[h, w]``: the mask on the pixels of a box of the frame, 0 where the region is 0."""
        left, top, right, bottom = box
        size = bottom - top, right - left
        window = view(self.mask, self.from_mask, *size, "bilinear", border="zero", left=left, top=top)
        if self.region is not None and self.from_region is not None:
            # Among the pixels of the frame, not of the crop: resampled there and back, its edge would give way.
            window *= view(self.region, self.from_region, *size, "bilinear", left=left, top=top)
        return window[..., 0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Patch(Place):
    """A crop that is to be put into its place. Sampled only when it is blended.

    Attributes:
        pixels: ``[S, S, 3]`` 0..1, the crop.
        from_pixels: ``[2, 3]`` from pixels of the crop to pixels of the frame.
        detail: gives the frame's own fine detail back; ``None`` where none is kept.
    """

    pixels: Tensor
    from_pixels: Tensor
    interpolation: Interpolation
    detail: Detail | None = None

    def pixels_on(self, part: Tensor, out: Tensor) -> None:
        """Samples the crop on the pixels of its box. Its border is replicated: where it shrinks, a pixel of the frame
        near the border averages more than the crop holds.

        Args:
            part: ``[h, w, 3]`` 0..1, the frame on the pixels of the box.
            out: ``[h, w, 3]`` float32, to write to.
        """
        left, top, _, _ = self.box
        height, width = part.shape[:2]
        view(self.pixels, self.from_pixels, height, width, self.interpolation, left=left, top=top, out=out)
        if self.detail is not None:
            out.add_(self.detail.lost(part, self.box, self.interpolation)).clamp_(0, 1)
            out.lerp_(part.to(out.dtype), self.detail.smoothed(out, self.box))
            out.add_(self.detail.grain(part, out, self.box)).clamp_(0, 1)


def lay_out(
    frames: Tensor,
    crops: Crops,
    pixels: Tensor,
    masks: Tensor,
    region: Tensor | None = None,
    comparison: Comparison | None = None,
) -> list[Patch | None]:
    """Makes a patch of each crop: which pixels of its frame it covers, and with what mask.

    Args:
        frames: ``[B, H, W, C]``, of which only size and device matter.
        pixels: ``[N, S, S, 3]`` 0..1, of any side ``S``: all of a crop, however fine.
        masks: ``[N, T, T]`` 0..1, of any side ``T``; 0 at the border.
        region: ``[B or 1, h, w]`` 0..1 on the frames at any size: where they may change.
        comparison: of the crops, or ``None`` where no detail of the frames is kept.

    Returns:
        A patch for each crop; ``None`` where it does not reach into its frame.
    """
    back = invert(crops.at_frame_size(frames.shape[2], frames.shape[1]).matrices)
    from_pixels = compose(back, resize_matrix(crops.size / pixels.shape[1]))
    details = None if comparison is None else _details(frames, crops, back, comparison)
    patches: list[Patch | None] = []
    for index, place in enumerate(places_in(frames, crops, masks, region)):
        if place is None:
            patches.append(None)
            continue
        patches.append(
            Patch(
                **vars(place),
                pixels=pixels[index].to(frames.device),
                from_pixels=from_pixels[index],
                interpolation="bicubic",
                detail=None if details is None else details[index],
            )
        )
    return patches


def _details(frames: Tensor, crops: Crops, back: Tensor, comparison: Comparison) -> list[Detail]:
    """For each crop; ``back`` as ``[N, 2, 3]`` from pixels of the crops to pixels of the frames."""
    shown, given, kept = comparison.shown, comparison.given.to(frames.device), comparison.kept.to(frames.device)
    oval = ellipse(given.shape[1], _OVAL_FEATHER, given.device, crops.template)[..., None]
    grainy = grain_mask(given.shape[1], comparison.grain, given.device)[..., None]
    from_shown = resize_matrix(frames.shape[2] / shown.shape[2], frames.shape[1] / shown.shape[1])
    from_given = compose(back, resize_matrix(crops.size / given.shape[1]))
    from_kept = compose(back, resize_matrix(crops.size / kept.shape[1]))
    return [
        Detail(
            shown=shown[frame].to(frames.device),
            given=given[index],
            kept=kept[index, ..., None],
            oval=oval,
            grainy=grainy,
            from_shown=from_shown,
            from_given=from_given[index],
            from_kept=from_kept[index],
        )
        for index, frame in enumerate(crops.frame_of)
    ]


def places_in(frames: Tensor, crops: Crops, masks: Tensor, region: Tensor | None = None) -> list[Place | None]:
    """The places of crops; ``None`` for one that does not reach into its frame. Arguments as for :func:`lay_out`."""
    places = crops.at_frame_size(frames.shape[2], frames.shape[1])
    from_masks = compose(invert(places.matrices), resize_matrix(crops.size / masks.shape[1]))
    from_region = None
    if region is not None:
        region = region[..., None].to(frames.device)
        from_region = resize_matrix(frames.shape[2] / region.shape[2], frames.shape[1] / region.shape[1])
    return [
        None
        if box is None
        else Place(
            frame=crops.frame_of[index],
            box=box,
            corners=corners,
            mask=masks[index, ..., None].to(frames.device),
            from_mask=from_masks[index],
            region=None if region is None else region[crops.frame_of[index] if len(region) > 1 else 0],
            from_region=from_region,
        )
        for index, (corners, box) in enumerate(places_of(places))
    ]


def places_of(crops: Crops) -> list[tuple[Corners, PixelBox | None]]:
    """Of each crop its corners in frame pixels, and the box of the pixels it covers; ``None`` where it covers none."""
    edge = crops.size - 0.5
    outline = torch.tensor([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]], dtype=torch.float64)
    places: list[tuple[Corners, PixelBox | None]] = []
    for corners in apply(invert(crops.matrices), outline).tolist():
        across, down = [x for x, _ in corners], [y for _, y in corners]
        left, top = max(math.ceil(min(across)), 0), max(math.ceil(min(down)), 0)
        right = min(math.floor(max(across)) + 1, crops.width)
        bottom = min(math.floor(max(down)) + 1, crops.height)
        one, two, three, four = ((x, y) for x, y in corners)
        covers = right > left and bottom > top
        places.append(((one, two, three, four), (left, top, right, bottom) if covers else None))
    return places


def blend(
    result: Tensor,
    changed: Tensor,
    frames: Tensor,
    patches: Sequence[Patch],
    strength: float,
    left_out: Sequence[Place] = (),
) -> None:
    """Adds patches to ``result``, a copy of ``frames``, and their masks to ``changed``, both in place.

    The cost grows with the area of the patches and not with that of the frames. A pixel whose mask is 0 keeps its
    very bits.

    Where patches overlap, as much changes as the strongest of their masks says, and that is shared among them by mask
    and by how near the pixel is to the centre of each crop: nothing is blended twice, nothing of the frame shows
    through where one of them covers it, each face comes from the crop that is centred on it, and the order of the
    faces does not matter. All patches of a frame that were made of ``frames`` must therefore be given together; one
    that was made of a result of this function may follow by itself.

    Args:
        result, frames: ``[B, H, W, C]``.
        changed: ``[B, H, W]`` float32.
        strength: 0..1.
        left_out: places of faces that stay as they are. They claim their pixels, too, and what they get is the frame's.
    """
    # Two pieces of memory for all patches: on the CPU fresh memory costs as much as the work on it.
    most = max((_area(patch.box) for patch in patches), default=0)
    scratch = torch.empty(2, most * 3, device=frames.device)
    for patch in patches:
        left, top, right, bottom = patch.box
        rivals = [other for other in (*patches, *left_out) if other is not patch and _meet(patch, other)]
        amount = _share(patch, rivals)
        if strength < 1:
            amount *= strength
        pixels, weight = scratch[:, : amount.numel() * 3].view(2, *amount.shape, 3)
        part = frames[patch.frame, top:bottom, left:right, :3]
        patch.pixels_on(part, pixels)
        # Written out, because on the CPU a weight without channels takes seven times as long to multiply by.
        weight.copy_(amount[..., None].expand_as(weight))
        target = result[patch.frame, top:bottom, left:right, :3]
        if rivals:
            # The parts of overlapping faces are shares of one whole: added to it, not blended in one after the other.
            target.addcmul_(pixels.sub_(part), weight)
        else:
            target.lerp_(pixels.to(target.dtype), weight.to(target.dtype))
        so_far = changed[patch.frame, top:bottom, left:right]
        if not rivals:
            # Shares add up, but what is blended over another changes only what is left of the frame.
            amount.addcmul_(amount, so_far, value=-1)
        so_far.add_(amount).clamp_(max=1)


def _share(patch: Place, rivals: Sequence[Place]) -> Tensor:
    """``[h, w]``: how much of a patch is blended in. The shares of all add up to the strongest mask."""
    left, top, _, _ = patch.box
    mask = patch.mask_in(patch.box)
    boxes = [box for other in rivals if (box := _intersection(patch.box, other.box))]
    if not boxes:
        return mask
    contested = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    part = mask[contested[1] - top : contested[3] - top, contested[0] - left : contested[2] - left]
    own = part * _claim(patch, contested, part.device)
    total, most = own.clone(), part.clone()
    for other in rivals:
        rival = other.mask_in(contested)
        most = torch.maximum(most, rival)
        total += rival.mul_(_claim(other, contested, part.device))
    # Where no mask is above 0 there is nothing to share.
    part.copy_(most * own / total.clamp_min(torch.finfo(total.dtype).tiny))
    return mask


def _claim(patch: Place, box: PixelBox, device: torch.device) -> Tensor:
    """``[h, w]``: how strongly a patch claims the pixels of a box of the frame: a Gaussian around its centre, 1 there,
    :data:`_CLAIM` of each of its sides wide."""
    left, top, right, bottom = box
    (ax, ay), (bx, by), (cx, cy), _ = patch.corners
    x = torch.arange(left, right, device=device) - (ax + cx) / 2
    y = torch.arange(top, bottom, device=device)[:, None] - (ay + cy) / 2
    squares = x.new_zeros(())
    for dx, dy in ((bx - ax, by - ay), (cx - bx, cy - by)):
        squares = squares + ((x * dx + y * dy) / (dx * dx + dy * dy) / _CLAIM).square()
    return squares.div_(-2).exp_()


def reaches_into(place: Place, frame: int, box: PixelBox) -> bool:
    """Whether a place has pixels of a box of a frame."""
    return place.frame == frame and _intersection(place.box, box) is not None


def _meet(one: Place, two: Place) -> bool:
    return reaches_into(one, two.frame, two.box)


def _intersection(one: PixelBox, two: PixelBox) -> PixelBox | None:
    left, top, right, bottom = max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])
    return (left, top, right, bottom) if right > left and bottom > top else None


def _area(box: PixelBox) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
