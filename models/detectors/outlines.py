"""From the coarse masks of a segmentation network to polygons."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.face import Box
from ...opencv import opencv

# Corners of a polygon closer than this to the line between their neighbours are left out, in pixels.
_TOLERANCE = 0.5


def outlines_of(masks: Tensor, boxes: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
    """The outer contour of each mask inside its box.

    Args:
        masks: ``[N, h, w]`` logits over the whole picture, coarser than it.
        boxes: ``[N, 4]`` in pixels of the picture.
        height: of the picture.
        width: of the picture.

    Returns:
        N polygons ``[P, 2]`` float32 on the CPU in pixels of the picture, through the centres of the outermost
        pixels; the corners of the box where a mask is empty there.
    """
    return tuple(_outline(mask, tuple(box), height, width) for mask, box in zip(masks, boxes.tolist(), strict=True))


def _outline(mask: Tensor, box: Box, height: int, width: int) -> Tensor:
    cv2 = opencv()
    rows, columns = mask.shape
    tall, wide = height // rows, width // columns
    left, top = max(0, math.floor(box[0] / wide) - 1), max(0, math.floor(box[1] / tall) - 1)
    right, bottom = min(columns, math.ceil(box[2] / wide) + 2), min(rows, math.ceil(box[3] / tall) + 2)
    corners = torch.tensor([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
    if left >= right or top >= bottom:
        return corners
    part = mask[None, None, top:bottom, left:right]
    fine = F.interpolate(part, scale_factor=(tall, wide), mode="bilinear", align_corners=False)[0, 0]
    x = torch.arange(fine.shape[1], device=mask.device) + left * wide
    y = torch.arange(fine.shape[0], device=mask.device)[:, None] + top * tall
    inside = (fine > 0) & (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
    contours, _ = cv2.findContours(inside.byte().cpu().numpy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return corners
    polygon = cv2.approxPolyDP(max(contours, key=cv2.contourArea), _TOLERANCE, closed=True)
    return torch.from_numpy(polygon[:, 0]).float() + torch.tensor([left * wide, top * tall])
