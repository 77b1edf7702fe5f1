"""Reading pictures batch by batch, and remembering which could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..models.inference import InvalidOutputError
from ..pipeline import RefinementError, RestorationError
from .console import warn
from .images import ImageError, Picture, check_format, load_image
from .inputs import Job, Plan

R = TypeVar("R")

# What working on pictures may raise.
WORK_ERRORS = (ValueError, RuntimeError, MemoryError, InvalidOutputError, RestorationError, RefinementError)
# What reading one picture may raise.
READ_ERRORS = (ImageError, MemoryError, RuntimeError)
# What writing one picture may raise, with drawing on it and resizing it for that.
WRITE_ERRORS = (ImageError, OSError, ValueError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Batch:
    """Pictures of one size."""

    jobs: tuple[Job, ...]
    pictures: tuple[Picture, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pictures[0].pixels.shape[:2]
        return width, height

    @property
    def frames(self) -> Tensor:
        """``[B, H, W, 3]`` float32 0..1."""
        return torch.stack([picture.pixels for picture in self.pictures])


@dataclass
class Failures:
    """Inputs on which something failed, and why. Each is told at once, and the work goes on with the others.

    Attributes:
        reasons: what went wrong, by input.
        problems: what went wrong with no picture in particular.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, job: Job, error: Exception) -> None:
        source, reason = str(job.source), _told(error)
        self.reasons[source] = reason
        warn(reason if reason.startswith(f"{source}:") else f"{source}: {reason}")

    def complain(self, problem: str) -> None:
        self.problems.append(problem)
        warn(problem)

    @property
    def code(self) -> int:
        """The exit code: 1 if anything failed."""
        return int(bool(self.reasons or self.problems))


def begin(todo: Plan) -> Failures:
    """Tells which results are there, what was left out and which inputs lead nowhere, before any picture is read."""
    failures = Failures()
    for path in todo.existing:
        _tell_existing(path)
    if todo.left_out is not None:
        warn(todo.left_out)
    for problem in todo.problems:
        failures.complain(problem)
    return failures


def _tell_existing(path: Path) -> None:
    warn(f"{path} is there already. Add --overwrite to replace it.")


def is_done(job: Job, todo: Plan) -> bool:
    """Whether another program has written a result in the meantime that is to stay, which is told."""
    there = None if todo.overwrite else next((path for path in job.files if path.exists()), None)
    if there is not None:
        _tell_existing(there)
    return there is not None


def batches(todo: Plan, size: int, failures: Failures, *, written: bool = True) -> Iterator[Batch]:
    """Reads pictures in their order, and gives neighbours of the same size together, ``size`` at most.

    Pictures of which another program has written the result in the meantime are left out.

    Args:
        written: they are to be written again under their names. Those that cannot be are failures from the start.
    """
    waiting: list[tuple[Job, Picture]] = []
    for job in todo.jobs:
        if is_done(job, todo):
            continue
        try:
            picture = load_image(job.source)
            if written:
                check_format(job.source, picture)
        except READ_ERRORS as error:
            failures.add(job, error)
            continue
        if waiting and picture.pixels.shape != waiting[0][1].pixels.shape:
            yield _batch(waiting)
            waiting = []
        waiting.append((job, picture))
        if len(waiting) == size:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def results_of(batch: Batch, work: Callable[[Batch], R], failures: Failures) -> Iterator[tuple[Batch, R]]:
    """What comes of a batch. Where that fails, what comes of each of its pictures alone, so that none takes others with
    it; those that fail alone, too, are left out and told."""
    try:
        done = work(batch)
    except WORK_ERRORS as error:
        if len(batch.jobs) == 1:
            failures.add(batch.jobs[0], error)
            return
    else:
        yield batch, done
        return
    # Outside the handler, whose exception keeps the tensors of the failed attempt alive.
    for job, picture in zip(batch.jobs, batch.pictures, strict=True):
        yield from results_of(Batch((job,), (picture,)), work, failures)


def _batch(pairs: Sequence[tuple[Job, Picture]]) -> Batch:
    return Batch(tuple(job for job, _ in pairs), tuple(picture for _, picture in pairs))


def _told(error: Exception) -> str:
    """What PyTorch says of its devices goes on for lines about itself."""
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0] if isinstance(error, RuntimeError) else words
