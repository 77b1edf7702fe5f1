"""Working through pictures, batch by batch, and writing what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..models.host import TorchHost
from ..pipeline import Done, Outcome
from .batches import UNDONE, batches, begin
from .inputs import Plan
from .json_report import reporting
from .results import write_results


class Worked(Protocol):
    """What comes of the frames ``[B, H, W, 3]`` of a batch: frames, larger ones perhaps, and what became of faces."""

    @property
    def frames(self) -> Tensor: ...

    @property
    def outcomes(self) -> Sequence[Sequence[Outcome]]: ...


def work_through(
    todo: Plan, size: int, work: Callable[[Tensor], Worked], done: Done, host: TorchHost, report: Path | None
) -> int:
    """Has all pictures worked on. A batch on which that fails is left out and told.

    Args:
        size: pictures of a batch, at most.
        work: gets the frames of a batch.
        done: what is said of faces that were worked on.
        report: where it is told what became of every face, if anywhere; of what was done so far after Ctrl-C, too.

    Returns:
        The exit code: 0, or 1 where a picture failed.
    """
    failures = begin(todo)
    progress = host.progress(max(len(todo.jobs), 1), "pictures")
    with reporting(report, todo, failures) as told:
        for batch in batches(todo, size, failures):
            try:
                with torch.inference_mode():
                    worked = work(batch.frames)
            except UNDONE as error:
                failures.add_all(batch.jobs, error)
            else:
                told.extend(write_results(batch, worked.frames, worked.outcomes, done, failures))
            progress.advance(len(batch.jobs))
    return failures.code
