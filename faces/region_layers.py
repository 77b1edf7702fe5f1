"""Regions of faces, from crop space to the pixels of frames: each face within its own crop, at the cost of its area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .crops import Crops
from .distance import phi, to_box
from .face import PixelBox
from .geometry import compose, invert, resize_matrix, scale_of
from .landmark_regions import LandmarkRegion, landmarks_in, to_landmark_regions
from .masks import FEATHER, RIM
from .paste import places_of
from .sampling import view

# An edge narrower than this has steps: standard deviation in frame pixels. It rises from 0.1 to 0.9 over 0.8 px.
_SHARPEST = 0.3
# What differs by less than this from 0 or 1 is that, so that what a mask keeps is kept bit by bit.
_TAIL = 1 / 512


@dataclass(frozen=True, eq=False)
class Layer:
    """The mask of one face.

    Attributes:
        frame: which frame of the batch.
        box: left, top, right, bottom of the part of the frame that it covers, or ``None``.
        mask: ``[bottom - top, right - left]`` 0..1; all the rest of the frame is 0.
    """

    frame: int
    box: PixelBox | None
    mask: Tensor


def layers_of(
    crops: Crops,
    masks: Tensor | None,
    regions: Sequence[LandmarkRegion],
    grow: float,
    feather: float,
    device: torch.device,
) -> Iterator[Layer]:
    """A layer for each crop: the union of its mask and of the regions drawn by its landmarks, cut off at the crop.

    Args:
        crops: of FFHQ's template.
        masks: ``[N, T, T]`` 0..1 of any side ``T``, grown and feathered already.
        regions: drawn straight onto the pixels of the frame, hence equally sharp at every size.
        grow: by how much these are grown on all sides, as a share of the side of the crop; below 0 they shrink.
        feather: softness of their edges, as the standard deviation of a Gaussian and a share of the side of the crop.
    """
    points = landmarks_in(crops).tolist()
    scales = scale_of(crops.matrices).tolist()
    from_masks = None
    if masks is not None:
        from_masks = compose(invert(crops.matrices), resize_matrix(crops.size / masks.shape[1]))
    for index, (_, box) in enumerate(places_of(crops)):
        if box is None:
            yield Layer(crops.frame_of[index], None, torch.zeros(0, 0, device=device))
            continue
        left, top, right, bottom = box
        x, y = _places_in_crop(box, crops.matrices[index], device)
        sharpest = _SHARPEST * scales[index]
        mask = torch.zeros(bottom - top, right - left, device=device)
        if regions:
            distance = to_landmark_regions(points[index], crops.size, regions, x, y)
            mask = phi(distance.sub_(grow * crops.size).div_(-max(feather * crops.size, sharpest)))
        if masks is not None and from_masks is not None:
            planes = masks[index, ..., None].to(device)
            size = bottom - top, right - left
            seen = view(planes, from_masks[index], *size, "bilinear", border="zero", left=left, top=top)
            mask = torch.maximum(mask, seen[..., 0])
        sides = to_box((-0.5, -0.5, crops.size - 0.5, crops.size - 0.5), x, y)
        # No softer than those that crops are pasted with, or they would eat into the face.
        soft = max(min(feather, FEATHER) * crops.size, sharpest)
        mask *= phi(sides.add_(RIM * soft).div_(-soft))
        yield Layer(crops.frame_of[index], box, mask.sub_(_TAIL).div_(1 - 2 * _TAIL).clamp_(0, 1))


def _places_in_crop(box: PixelBox, matrix: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """``[h, w]`` each: where in the crop the pixels of a box of its frame lie."""
    left, top, right, bottom = box
    across = torch.arange(left, right, dtype=torch.float32, device=device)[None, :]
    down = torch.arange(top, bottom, dtype=torch.float32, device=device)[:, None]
    (a, b, x), (c, d, y) = matrix.tolist()
    return a * across + (b * down + x), c * across + (d * down + y)
