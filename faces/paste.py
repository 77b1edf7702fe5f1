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


@dataclass(frozen=True)
class Patch:
    """A crop laid out on the pixels of its frame.

    Attributes:
        frame: which frame of the batch.
        left, top: the frame pixel under the patch's first pixel.
        pixels: ``[h, w, 3]`` 0..1.
        mask: ``[h, w]`` 0..1.
        corners: of the crop, in frame pixels, in the order of its outline.
    """

    frame: int
    left: int
    top: int
    pixels: Tensor
    mask: Tensor
    corners: tuple[Point, Point, Point, Point]

    @property
    def bottom(self) -> int:
        return self.top + self.mask.shape[0]

    @property
    def right(self) -> int:
        return self.left + self.mask.shape[1]

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
    """Samples crops on the pixel grid of their frames, each only inside its own box.

    Args:
        frames: ``[B, H, W, C]``, of which only the size matters.
        pixels: ``[N, S, S, 3]`` 0..1, of any side ``S``: all of a crop, however fine.
        masks: ``[N, T, T]`` 0..1, of any side ``T``; 0 at the border.

    Returns:
        The patches of those crops that reach into their frame.
    """
    patches = []
    for index, matrix in enumerate(crops.on_frames_of(frames.shape[2], frames.shape[1]).matrices):
        colours, mask = pixels[index].to(frames.device), masks[index].to(frames.device)
        patch = _lay_out_one(frames, crops.frame_of[index], matrix, crops.size, colours, mask, interpolation)
        if patch is not None:
            patches.append(patch)
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
        patches: their pixels are used up.
        strength: 0..1.
    """
    for patch in patches:
        rows, columns = slice(patch.top, patch.bottom), slice(patch.left, patch.right)
        amount = patch.mask * strength
        _share_out(amount, patch, [other for other in patches if other is not patch and _overlap(patch, other)])
        # Added, not blended in one after the other: the parts of overlapping faces are shares of one whole.
        change = patch.pixels.sub_(frames[patch.frame, rows, columns, :3])
        result[patch.frame, rows, columns, :3].addcmul_(change, amount[..., None])
        changed[patch.frame, rows, columns].add_(amount).clamp_(max=1)


def _lay_out_one(
    frames: Tensor,
    frame: int,
    matrix: Tensor,
    size: int,
    pixels: Tensor,
    mask: Tensor,
    interpolation: Interpolation,
) -> Patch | None:
    """Samples a crop on the pixel grid of its frame; ``None`` for a crop that lies outside."""
    back = invert(matrix)
    edge = size - 0.5
    corners = apply(back, torch.tensor([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]], dtype=torch.float64))
    low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
    left, top = max(math.ceil(low[0]), 0), max(math.ceil(low[1]), 0)
    right, bottom = min(math.floor(high[0]) + 1, frames.shape[2]), min(math.floor(high[1]) + 1, frames.shape[1])
    if right <= left or bottom <= top:
        return None
    width, height = right - left, bottom - top
    to_window = compose(shift_matrix(-left, -top), back)
    colours = view(pixels, _at_side(to_window, size, pixels.shape[0]), height, width, interpolation)
    to_window = _at_side(to_window, size, mask.shape[0])
    weight = view(mask[..., None], to_window, height, width, "bilinear", border="zero")
    one, two, three, four = ((float(x), float(y)) for x, y in corners.tolist())
    return Patch(frame, left, top, colours, weight[..., 0], (one, two, three, four))


def _at_side(matrix: Tensor, size: int, side: int) -> Tensor:
    """The matrix from a crop of ``size`` pixels, for pixels of the same crop at another resolution."""
    return compose(matrix, invert(resize_matrix(side / size)))


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


def _share_out(amount: Tensor, patch: Patch, rivals: list[Patch]) -> None:
    """Leaves ``patch`` only its part of the pixels that rivals cover too. The parts of all add up to one."""
    boxes = [box for other in rivals if (box := _intersection(patch, other.box))]
    if not boxes:
        return
    contested = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    own = _claim(patch, contested)
    total = own + sum(_claim(other, contested) for other in rivals)
    # Where the claims underflow the masks are as good as 0.
    part = torch.where(total > 0, own / total.clamp_min(torch.finfo(total.dtype).tiny), torch.ones_like(own))
    left, top, right, bottom = contested
    amount[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left] *= part


def _claim(patch: Patch, box: tuple[int, int, int, int]) -> Tensor:
    """``[h, w]``: the mask of a patch within a box of frame pixels, fading with the distance from the crop's centre."""
    left, top, right, bottom = box
    claim = torch.zeros(bottom - top, right - left, device=patch.mask.device)
    shared = _intersection(patch, box)
    if shared is None:
        return claim
    x1, y1, x2, y2 = shared
    (x, y), deviation = patch.centre, _CLAIM * patch.side
    across = torch.exp(((torch.arange(x1, x2, device=claim.device) - x) / deviation) ** 2 / -2)
    down = torch.exp(((torch.arange(y1, y2, device=claim.device) - y) / deviation) ** 2 / -2)
    mask = patch.mask[y1 - patch.top : y2 - patch.top, x1 - patch.left : x2 - patch.left]
    claim[y1 - top : y2 - top, x1 - left : x2 - left] = mask * across * down[:, None]
    return claim


def _intersection(patch: Patch, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    left, top = max(patch.left, box[0]), max(patch.top, box[1])
    right, bottom = min(patch.right, box[2]), min(patch.bottom, box[3])
    return (left, top, right, bottom) if right > left and bottom > top else None
