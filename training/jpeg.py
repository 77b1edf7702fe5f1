"""JPEG as a degradation: by the real codec, and as tensors for pictures on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Annex K of ITU-T T.81: what the Independent JPEG Group's library quantises with at quality 50.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF 1.02: full-range YCbCr of ITU-R BT.601.
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def through_codec(images: Tensor, qualities: Sequence[int]) -> Tensor:
    """Pictures ``[N, 3, H, W]``, RGB, 0..1, on the CPU, as they come back from JPEG files (4:2:0)."""
    import cv2
    import numpy as np

    given = (images.clamp(0, 1) * 255).round_().byte().permute(0, 2, 3, 1).numpy()
    done = np.empty_like(given)
    for picture, result, quality in zip(given, done, qualities, strict=True):
        _, file = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
        result[:] = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
    return torch.from_numpy(done).permute(0, 3, 1, 2).float().div_(255)


def in_tensors(images: Tensor, qualities: Sequence[int]) -> Tensor:
    """As :func:`through_codec`, on any device, within rounding: they differ by half a level of 255 in the mean.

    Chroma is averaged over squares of two pixels and grown linearly, as libjpeg does it.
    """
    height, width = images.shape[2:]
    padded = F.pad(images.clamp(0, 1), (0, -width % 16, 0, -height % 16), mode="replicate")
    levels = (padded * 255).round_()
    ycc = torch.einsum("oc,nchw->nohw", levels.new_tensor(_TO_YCC), levels).round_()
    scale = levels.new_tensor([_table_scale(quality) for quality in qualities])
    luma = _quantised(ycc[:, :1] - 128, _table(_LUMA, scale)) + 128
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2), _table(_CHROMA, scale))
    chroma = F.interpolate(chroma.clamp_(-128, 127), scale_factor=2, mode="bilinear", align_corners=False)
    whole = torch.cat((luma.clamp_(0, 255), chroma), dim=1)
    rgb = torch.einsum("oc,nchw->nohw", levels.new_tensor(_TO_RGB), whole).round_().clamp_(0, 255)
    return rgb[..., :height, :width] / 255


def _table_scale(quality: int) -> float:
    """Per cent by which libjpeg scales its tables (``jpeg_quality_scaling``)."""
    return 5000 // quality if quality < 50 else 200 - 2 * quality


def _table(base: Sequence[Sequence[int]], scale: Tensor) -> Tensor:
    """Steps of quantisation ``[N, 1, 8, 1, 8]`` for a batch, over blocks of ``[N, C, H / 8, 8, W / 8, 8]``."""
    table = torch.floor((scale.new_tensor(base) * scale[:, None, None] + 50) / 100).clamp_(1, 255)
    return table[:, None, None, :, None, :]


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    count, channels, height, width = planes.shape
    transform = _cosines(planes)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8)
    there = torch.einsum("ua,vb,ncyaxb->ncyuxv", transform, transform, blocks)
    kept = torch.round(there / table) * table
    back = torch.einsum("ua,vb,ncyuxv->ncyaxb", transform, transform, kept)
    return back.reshape(planes.shape)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of 8 samples, ``[8, 8]``."""
    places = torch.arange(8, device=like.device, dtype=like.dtype)
    table = torch.cos((2 * places[None, :] + 1) * places[:, None] * torch.pi / 16) / 2
    table[0] /= 2**0.5
    return table
