"""Writing what came of a picture."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..drawing import side_by_side
from ..models.atomic import replacing
from ..models.upscaler import resize_frames_to
from ..pipeline import Outcome
from .images import ImageError, Picture, save_image
from .inputs import Job
from .report import frame_described, outcome_described


def write_result(
    job: Job, picture: Picture, pixels: Tensor, outcomes: Sequence[Outcome], *, compare: bool
) -> dict[str, object]:
    """Writes one result, and gives what the report says of it.

    Args:
        pixels: ``[H, W, 3]`` 0..1, of the picture or larger.
        compare: also writes before and after side by side.

    Raises:
        ImageError: as :func:`~.images.save_image`.
    """
    same = pixels.shape == picture.pixels.shape and torch.equal(pixels, picture.pixels)
    if same and job.source.suffix == job.target.suffix:
        # Nothing was done: not even the loss of another JPEG compression.
        _copy(job)
    else:
        save_image(job.target, _at_size(picture, pixels))
    if compare:
        _write_comparison(job.target, picture, pixels)
    height, width = picture.pixels.shape[:2]
    return frame_described(job.source, job.target, width, height, map(outcome_described, outcomes))


def _copy(job: Job) -> None:
    """Raises ``ImageError`` where the disk does not take it; there is no half of a file then."""
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(job.target) as unfinished:
            shutil.copyfile(job.source, unfinished)
    except OSError as error:
        raise ImageError(f"{job.target}: cannot be written ({error}).") from error


def _at_size(picture: Picture, pixels: Tensor) -> Picture:
    """The picture with other pixels; its transparency at their size."""
    alpha = picture.alpha
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        alpha = _resized(alpha[..., None].expand(-1, -1, 3), pixels)[..., 0].contiguous()
    return replace(picture, pixels=pixels, alpha=alpha)


def _resized(pixels: Tensor, like: Tensor) -> Tensor:
    return resize_frames_to(pixels[None], *like.shape[:2])[0]


def _write_comparison(target: Path, picture: Picture, pixels: Tensor) -> None:
    before = _resized(picture.pixels, pixels)
    path = target.with_name(f"{target.stem}_compare{target.suffix}")
    save_image(path, replace(picture, pixels=side_by_side([before, pixels]), alpha=None))
