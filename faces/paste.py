"""Putting crops back into frames, each inside its own box, without anybody seeing the seam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .crops import Crops
from .face import Point
from .geometry import apply, compose, invert, resize_matrix, shift_matrix
from .sampling import Interpolation, view

# How fast a crop gives way to a neighbour's where both cover a pixel: standard deviation, as a share of the crop's
# side, of its claim around its centre. A quarter is the radius of the face itself in an FFHQ crop.
_CLAIM = 0.25


@dataclass(frozen=True, eq=False)
class Patch:
    """Where a crop lies on the pixels of its frame. Sampled only when it is blended.

    Attributes:
        frame: which frame of the batch.
        left, top, right, bottom: the pixels of the frame that the patch covers.
        pixels: ``[S, S, 3]`` 0..1, the crop.
        mask: ``[T, T]`` 0..1, its mask.
        to_patch: ``[2, 3]`` from pixels of a crop of ``size`` to pixels of the patch.
        corners: of the crop, in frame pixels, in the order of its outline.
    """

    frame: int
    left: int
    top: int
    right: int
    bottom: int
    pixels: Tensor
    mask: Tensor
    to_patch: Tensor
    size: int
    corners: tuple[Point, Point, Point, Point]
    interpolation: Interpolation

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.right, self.bottom

    @property
    def centre(self) -> Point:
        (ax, ay), _, (bx, by), _ = self.corners
        return (ax + bx) / 2, (ay + by) / 2

    @property
    def side(self) -> float:
        return math.dist(self.corners[0], self.corners[1])

    def sampled_mask(self) -> Tensor:
        """``[height, width]`` 0..1"""
        matrix = _at_side(self.to_patch, self.size, self.mask.shape[0])
        return view(self.mask[..., None], matrix, self.height, self.width, "bilinear", border="zero")[..., 0]

    def sample_pixels(self, out: Tensor) -> Tensor:
        """Writes the pixels to ``out`` ``[height, width, 3]``."""
        matrix = _at_side(self.to_patch, self.size, self.pixels.shape[0])
        return view(self.pixels, matrix, self.height, self.width, self.interpolation, out=out)


def paste(
    frames: Tensor,
    crops: Crops,
    pixels: Tensor,
    masks: Tensor,
    strength: float = 1.0,
    interpolation: Interpolation = "bicubic",
) -> tuple[Tensor, Tensor]:
    """Blends crops into a copy of the frames they were taken from, or into an enlarged copy.

    Args:
        frames: ``[B, H, W, C]``; ``H, W`` may be any size with the proportions of the frames that the crops were
            taken from. Channels after the third are kept.
        pixels, masks, interpolation: as :func:`lay_out` takes them.
        strength: how much of the crops is blended in, 0..1. At 0 the frames themselves are returned.

    Returns:
        The frames, ``[B, H, W, C]`` in the type of ``frames``, and what changed, ``[B, H, W]`` 0..1 float32.
    """
    changed = torch.zeros(frames.shape[:3], device=frames.device)
    if strength == 0 or len(crops) == 0:
        return frames, changed
    result = frames.clone()
    blend(result, changed, frames, lay_out(frames, crops, pixels, masks, interpolation), strength)
    return result, changed


def lay_out(
    frames: Tensor, crops: Crops, pixels: Tensor, masks: Tensor, interpolation: Interpolation = "bicubic"
) -> list[Patch]:
    """Finds the pixels of the frames that crops cover.

    Args:
        frames: ``[B, H, W, C]``, of which only size and device matter.
        pixels: ``[N, S, S, 3]`` 0..1, of any side ``S``: all of a crop, however fine.
        masks: ``[N, T, T]`` 0..1, of any side ``T``; 0 at the border.

    Returns:
        The patches of those crops that reach into their frame.
    """
    height, width = frames.shape[1:3]
    edge = crops.size - 0.5
    outline = torch.tensor([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]], dtype=torch.float64)
    back = invert(crops.on_frames_of(width, height).matrices)
    patches = []
    for index, corners in enumerate(apply(back, outline).tolist()):
        across, down = [x for x, _ in corners], [y for _, y in corners]
        left, top = max(math.ceil(min(across)), 0), max(math.ceil(min(down)), 0)
        right, bottom = min(math.floor(max(across)) + 1, width), min(math.floor(max(down)) + 1, height)
        if right <= left or bottom <= top:
            continue
        patches.append(
            Patch(
                crops.frame_of[index],
                left,
                top,
                right,
                bottom,
                pixels[index].to(frames.device),
                masks[index].to(frames.device),
                compose(shift_matrix(-left, -top), back[index]),
                crops.size,
                (corners[0], corners[1], corners[2], corners[3]),
                interpolation,
            )
        )
    return patches


def blend(result: Tensor, changed: Tensor, frames: Tensor, patches: Sequence[Patch], strength: float) -> None:
    """Adds patches to ``result``, a copy of ``frames``, and their masks to ``changed``, both in place.

    The cost grows with the area of the patches and not with that of the frames. A pixel whose mask is 0 keeps its
    very bits.

    Where patches overlap, every one's part is weighted by its mask and by how near the pixel is to the centre of its
    crop, and the parts add up to one: nothing is blended twice, each face comes from the crop that is centred on it,
    and the order of the faces does not matter. All patches of a frame must therefore be given together.

    Args:
        result, frames: ``[B, H, W, C]``.
        changed: ``[B, H, W]`` float32.
        strength: 0..1.
    """
    masks = [patch.sampled_mask() for patch in patches]
    # Two pieces of memory for all patches: on the CPU fresh memory costs as much as the work on it.
    scratch = torch.empty(2, max((mask.numel() for mask in masks), default=0) * 3, device=frames.device)
    for patch, mask in zip(patches, masks, strict=True):
        rows, columns = slice(patch.top, patch.bottom), slice(patch.left, patch.right)
        rivals = [
            (other, its_mask)
            for other, its_mask in zip(patches, masks, strict=True)
            if other is not patch and _overlap(patch, other)
        ]
        amount = mask * strength
        _share_out(amount, patch, mask, rivals)
        # Added, not blended in one after the other: the parts of overlapping faces are shares of one whole.
        change, weight = scratch[:, : mask.numel() * 3].view(2, patch.height, patch.width, 3)
        patch.sample_pixels(change).sub_(frames[patch.frame, rows, columns, :3])
        # Written out, because on the CPU a weight without channels takes three times as long to multiply by.
        weight.copy_(amount[..., None].expand_as(weight))
        result[patch.frame, rows, columns, :3].addcmul_(change, weight)
        changed[patch.frame, rows, columns].add_(amount).clamp_(max=1)


def _at_side(matrix: Tensor, size: int, side: int) -> Tensor:
    """The matrix from a crop of ``size`` pixels, for pixels of the same crop at another resolution."""
    return matrix if side == size else compose(matrix, resize_matrix(size / side))


def _overlap(one: Patch, two: Patch) -> bool:
    """Whether two squares share a pixel: no side of either separates them."""
    return one.frame == two.frame and not (_separated(one, two) or _separated(two, one))


def _separated(one: Patch, two: Patch) -> bool:
    (ax, ay), (bx, by), (cx, cy), _ = one.corners
    for dx, dy in ((bx - ax, by - ay), (cx - bx, cy - by)):
        own = [x * dx + y * dy for x, y in one.corners]
        others = [x * dx + y * dy for x, y in two.corners]
        if max(own) <= min(others) or max(others) <= min(own):
            return True
    return False


def _share_out(amount: Tensor, patch: Patch, mask: Tensor, rivals: Sequence[tuple[Patch, Tensor]]) -> None:
    """Leaves ``patch`` only its part of the pixels that rivals cover too. The parts of all add up to one."""
    boxes = [box for other, _ in rivals if (box := _intersection(patch, other.box))]
    if not boxes:
        return
    contested = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    own = _claim(patch, mask, contested)
    total = own.clone()
    for other, its_mask in rivals:
        total += _claim(other, its_mask, contested)
    # Where the claims underflow the masks are as good as 0.
    part = torch.where(total > 0, own / total.clamp_min(torch.finfo(total.dtype).tiny), torch.ones_like(own))
    left, top, right, bottom = contested
    amount[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left] *= part


def _claim(patch: Patch, mask: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    """``[h, w]``: the mask of a patch within a box of frame pixels, fading with the distance from the crop's centre."""
    left, top, right, bottom = box
    claim = torch.zeros(bottom - top, right - left, device=mask.device)
    shared = _intersection(patch, box)
    if shared is None:
        return claim
    x1, y1, x2, y2 = shared
    (x, y), deviation = patch.centre, _CLAIM * patch.side
    across = torch.exp(((torch.arange(x1, x2, device=mask.device) - x) / deviation) ** 2 / -2)
    down = torch.exp(((torch.arange(y1, y2, device=mask.device) - y) / deviation) ** 2 / -2)
    seen = mask[y1 - patch.top : y2 - patch.top, x1 - patch.left : x2 - patch.left]
    claim[y1 - top : y2 - top, x1 - left : x2 - left] = seen * across * down[:, None]
    return claim


def _intersection(patch: Patch, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    left, top = max(patch.left, box[0]), max(patch.top, box[1])
    right, bottom = min(patch.right, box[2]), min(patch.bottom, box[3])
    return (left, top, right, bottom) if right > left and bottom > top else None
