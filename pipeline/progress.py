"""What is told of a part of a job, where not every way through it takes all the steps that were announced."""

from __future__ import annotations

from ..models.host import Progress


class Share:
    """The steps of a job's progress that were announced for one part of it: no more are passed on, and no fewer once
    that part is finished."""

    def __init__(self, progress: Progress, announced: int) -> None:
        self._progress = progress
        self._left = announced

    def advance(self, steps: int = 1) -> None:
        told = min(steps, self._left)
        self._left -= told
        self._progress.advance(told)

    def finish(self) -> None:
        """Whatever was left out or failed in that part is done with, too."""
        self.advance(self._left)
