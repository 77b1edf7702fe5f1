"""Writing what came of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import write_together
from ..drawing import draw_faces, side_by_side
from ..faces.crops import extract, plan_crops
from ..faces.face import Face
from ..faces.resizing import resize_frames_to
from ..pipeline import Outcome, Verb, outcome_reasons, outcome_summary
from .batches import WRITE_ERRORS, Batch, Failures, is_done
from .console import say, warn
from .images import ImageError, Picture, encoded, left_out, save_image
from .inputs import Job, Plan
from .json_report import frame_data, outcome_data

# Side of the aligned crops of faces.
_CROP = 512


def write_results(
    todo: Plan, batch: Batch, frames: Tensor, outcomes: Sequence[Sequence[Outcome]], verb: Verb, failures: Failures
) -> Iterator[dict[str, object]]:
    """Writes what came of a batch, tells how many faces that were, and gives what the report says of each picture.

    A picture that cannot be written is among the failures, and the others are written. One whose result another program
    has written in the meantime is left out.

    Args:
        frames: ``[B, H, W, 3]`` 0..1, of the pictures or larger.
        verb: for those that were worked on.
    """
    for index, (job, picture) in enumerate(zip(batch.jobs, batch.pictures, strict=True)):
        if is_done(job, todo):
            continue
        try:
            told = write_result(job, picture, frames[index], outcomes[index])
        except WRITE_ERRORS as error:
            failures.add(job, error)
        else:
            yield told
            reasons = outcome_reasons(outcomes[index])
            say(f"{job.source}: {outcome_summary(outcomes[index], verb)}" + (f" ({reasons})" if reasons else ""))


def write_result(job: Job, picture: Picture, pixels: Tensor, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Writes one result and what is planned with it, all or nothing, and gives what the report says of it. A result
    alone would be left as it is when the same command comes once more, and the rest would never be there.

    Args:
        pixels: ``[H, W, 3]`` 0..1, of the picture or larger.

    Raises:
        ImageError: as :func:`~.images.save_image`.
    """
    same = pixels.shape == picture.pixels.shape and torch.equal(pixels, picture.pixels)
    # Where nothing was done: not even the loss of another JPEG compression.
    files = {job.target: _content(job) if same else encoded(job.target, _at_size(picture, pixels))}
    if job.comparison is not None:
        both = side_by_side([_resized(picture.pixels, pixels), pixels])
        files[job.comparison] = encoded(job.comparison, replace(picture, pixels=both, alpha=None))
    if job.crops is not None:
        faces = [outcome.face for outcome in outcomes if outcome.action == "restored"]
        files |= {path: encoded(path, crop) for path, crop in _crops(job, picture, pixels, faces)}
    try:
        write_together(files)
    except OSError as error:
        raise ImageError(f"{job.target}: cannot be written ({error}).") from error
    for name in () if same else left_out(job.target, picture):
        warn(f"{job.target}: is without the {name} of the picture, which is too long for a JPEG.")
    height, width = picture.pixels.shape[:2]
    return frame_data(job.source, job.target, width, height, map(outcome_data, outcomes))


def draw(
    job: Job, picture: Picture, faces: Sequence[Face], failures: Failures, captions: Sequence[str] | None = None
) -> bool:
    """Writes a picture with its faces drawn on it. Whether that could be done."""
    try:
        save_image(job.target, replace(picture, pixels=draw_faces(picture.pixels, faces, captions)))
    except WRITE_ERRORS as error:
        failures.add(job, error)
        return False
    return True


def _content(job: Job) -> bytes:
    try:
        return job.source.read_bytes()
    except OSError as error:
        raise ImageError(f"{job.source}: cannot be read once more ({error}).") from error


def _at_size(picture: Picture, pixels: Tensor) -> Picture:
    """The picture with other pixels; its transparency at their size."""
    alpha = picture.alpha
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        alpha = _resized(alpha[..., None].expand(-1, -1, 3), pixels)[..., 0].contiguous()
    return replace(picture, pixels=pixels, alpha=alpha)


def _resized(pixels: Tensor, like: Tensor) -> Tensor:
    return resize_frames_to(pixels[None], *like.shape[:2])[0]


def _crops(job: Job, picture: Picture, pixels: Tensor, faces: Sequence[Face]) -> Iterator[tuple[Path, Picture]]:
    """The faces before and after, as aligned crops, and what they are called."""
    height, width = picture.pixels.shape[:2]
    before = plan_crops([(0, face) for face in faces], _CROP, width, height, 1)
    after = before.at_frame_size(pixels.shape[1], pixels.shape[0])
    for index, face in enumerate(faces):
        seen = extract(picture.pixels[None], before.take([index])), extract(pixels[None], after.take([index]))
        for path, crop in zip(job.crops_of(face.index + 1), seen, strict=True):
            yield path, Picture(crop[0], depth=picture.depth, metadata=picture.metadata)
