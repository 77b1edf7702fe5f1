"""Going through pictures, batch by batch, to work on them or to look at them, and writing what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..faces.face import Face
from ..faces.formatting import counted
from ..models.host import TorchHost
from ..pipeline import Outcome, Verb
from .batches import Batch, batches, begin, is_done, results_of
from .console import say, say_to_reader
from .inputs import Plan
from .json_report import frame_data, reporting
from .overlap import read_ahead, write_behind
from .results import draw, write_results

R = TypeVar("R")


class Worked(Protocol):
    """What comes of the frames ``[B, H, W, 3]`` of a batch: frames, larger ones perhaps, and what became of faces."""

    @property
    def frames(self) -> Tensor: ...

    @property
    def outcomes(self) -> Sequence[Sequence[Outcome]]: ...


def work_through(
    todo: Plan, size: int, work: Callable[[Tensor], Worked], verb: Verb, host: TorchHost, report: Path | None
) -> int:
    """Has all pictures worked on. Those on which that fails are left out and told.

    Args:
        size: pictures of a batch, at most.
        work: gets the frames of a batch.
        verb: for those that were worked on.
        report: where it is told what became of every face, if anywhere; of what was done so far after Ctrl-C, too.

    Returns:
        The exit code: 0, or 1 where a picture failed.
    """
    failures = begin(todo)
    progress = host.progress(max(len(todo.jobs), 1), "pictures")
    with reporting(report, todo, failures) as told, write_behind() as then:

        def write(part: Batch, what: Worked) -> None:
            told.extend(write_results(todo, part, what.frames, what.outcomes, verb, failures))

        for batch in read_ahead(batches(todo, size, failures)):
            for part, what in results_of(batch, partial(_on_frames, work), failures):
                then(partial(write, part, what))
            progress.advance(len(batch.jobs))
    return failures.code


@dataclass(frozen=True)
class Seen:
    """What there is to be told of the faces of one picture.

    Attributes:
        data: of each of the faces, what JSON takes.
        lines: more than their number, for people.
        captions: what is drawn beside each of them; ``None`` for their scores.
    """

    faces: Sequence[Face]
    data: Sequence[Mapping[str, object]]
    lines: Sequence[str] = ()
    captions: Sequence[str] | None = None


def look_through(
    todo: Plan, size: int, look: Callable[[Tensor], Sequence[Seen]], drawing: bool, report: Path | None
) -> int:
    """Has all pictures looked at, and tells and draws what is seen. Those on which that fails are left out and told.

    Args:
        size: pictures of a batch, at most.
        look: gets the frames ``[B, H, W, 3]`` of a batch.
        drawing: whether the faces are drawn on the targets of the plan.
        report: where all of it is told, if anywhere.

    Returns:
        The exit code: 0, or 1 where a picture failed.
    """
    failures = begin(todo)
    # Without files there is nothing to go on for where nobody reads.
    tell = say if drawing or report is not None else say_to_reader
    with reporting(report, todo, failures) as told, write_behind() as then:

        def write(part: Batch, seen: Sequence[Seen]) -> None:
            for job, picture, one in zip(part.jobs, part.pictures, seen, strict=True):
                tell("\n".join([f"{job.source}: {counted(len(one.faces))}", *one.lines]))
                drawn = drawing and not is_done(job, todo) and draw(job, picture, one.faces, failures, one.captions)
                told.append(frame_data(job.source, job.target if drawn else None, *part.size, one.data))

        for batch in read_ahead(batches(todo, size, failures, written=drawing)):
            for part, seen in results_of(batch, partial(_on_frames, look), failures):
                then(partial(write, part, seen))
    return failures.code


@torch.inference_mode()
def _on_frames(work: Callable[[Tensor], R], batch: Batch) -> R:
    return work(batch.frames)
