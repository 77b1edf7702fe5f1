"""Which cell is to find which face, and what it costs to be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from ..models.detectors.visage_finder import STRIDES, Predictions
from .composites import Truth

# Longer sides of faces, in pixels, up to which the levels are asked for them. Around a border both levels are.
_BORDERS = (40.0, 96.0)
_SHARED = 1.2
# A face is asked of the cells this close to its centre, in strides and in shares of its sides ...
_NEAR = 1.05
_CENTRAL = 0.35
# ... but in any case of the cell that the centre lies in.
_OWN_CELL = 0.5
_BOX_WEIGHT = 2.0
_LANDMARK_WEIGHT = 15.0


@dataclass(frozen=True)
class Losses:
    """Means over a batch, scalars: of the score, of the boxes (1 - GIoU), of the landmarks (share of the size)."""

    score: Tensor
    box: Tensor
    landmarks: Tensor

    @property
    def total(self) -> Tensor:
        return self.score + _BOX_WEIGHT * self.box + _LANDMARK_WEIGHT * self.landmarks


def assigned(cells: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Which face each cell is asked for: the cells around its centre, on the level of its size.

    This is FCOS's centre sampling (Tian et al., 2020). Where two faces want a cell, the smaller one has it.

    Args:
        cells: ``[A, 3]`` from :func:`~..models.detectors.visage_finder.cells_of`.
        truth: of N pictures.

    Returns:
        ``[N, A]`` int64: the number of the face, -1 for none; ``[N, A]`` bool: cells that may say what they like.
    """
    sides = truth.boxes[..., 2:] - truth.boxes[..., :2]
    middle = (truth.boxes[..., 2:] + truth.boxes[..., :2]) / 2
    size = sides.amax(-1)
    away = (cells[:, None, :2] - middle[:, None]).abs()
    stride = cells[:, 2][None, :, None]
    central = torch.maximum(sides[:, None] * _CENTRAL, _OWN_CELL * stride[..., None])
    near = ((away <= _NEAR * stride[..., None]) & (away <= central)).all(-1)
    least, most = _range_of(cells[:, 2])
    fits = (size[:, None] >= least[None, :, None]) & (size[:, None] < most[None, :, None])
    wanted = near & fits & truth.present[:, None]
    areas = sides.prod(-1)[:, None].expand_as(wanted).masked_fill(~wanted, torch.inf)
    smallest, chosen = areas.min(-1)
    free = ((away <= sides[:, None] / 2).all(-1) & truth.ignored[:, None]).any(-1)
    faces = chosen.masked_fill(smallest.isinf(), -1)
    return faces, free & (faces < 0)


def _range_of(strides: Tensor) -> tuple[Tensor, Tensor]:
    """``[A]``, ``[A]``: sizes of faces that cells of these strides are asked for."""
    least, most = torch.zeros_like(strides), torch.full_like(strides, torch.inf)
    for border, below, above in zip(_BORDERS, STRIDES[:-1], STRIDES[1:], strict=True):
        most = most.masked_fill(strides == below, border * _SHARED)
        least = least.masked_fill(strides == above, border / _SHARED)
    return least, most


def losses(predictions: Predictions, cells: Tensor, truth: Truth) -> Losses:
    """The losses of a batch, all of it on one device.

    Scores are to tell how well the box fits: the quality focal loss (Li et al., "Generalized Focal Loss", 2020) with
    the intersection over union as its target, summed over all cells, divided by the number of cells that have a face.
    """
    faces, free = assigned(cells, truth)
    picture, cell = (faces >= 0).nonzero(as_tuple=True)
    face = faces[picture, cell]
    boxes, wanted = predictions.boxes[picture, cell], truth.boxes[picture, face]
    target = torch.zeros_like(predictions.logits)
    target[picture, cell] = _overlap(boxes.detach(), wanted)
    doubt = (predictions.logits.sigmoid() - target).square().masked_fill(free, 0)
    entropy = F.binary_cross_entropy_with_logits(predictions.logits, target, reduction="none")
    # As a tensor: asking a GPU for the number of faces would make it wait.
    count = (faces >= 0).sum().clamp(min=1)
    size = (wanted[:, 2:] - wanted[:, :2]).amax(-1)[:, None, None]
    points = (predictions.landmarks[picture, cell] - truth.landmarks[picture, face]) / size
    return Losses(
        (doubt * entropy).sum() / count,
        generalized_box_iou_loss(boxes, wanted, reduction="sum") / count,
        points.abs().sum() / (10 * count),
    )


def _overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """``[M]``: intersection over union of rows of boxes."""
    shared = (torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])).clamp(min=0)
    area = shared.prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1)
    return area / (areas - area)
