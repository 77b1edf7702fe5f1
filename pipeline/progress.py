"""Progress of a part of a job, which is announced in full and may turn out to take fewer steps."""

from __future__ import annotations

from ..models.host import Progress


class Share:
    """Passes on the steps of one part of a job, exactly as many as were announced for it: no more, and whatever is
    missing at the end.

    Args:
        progress: of the whole job.
        announced: steps of the part.
    """

    def __init__(self, progress: Progress, announced: int) -> None:
        self._progress = progress
        self._left = announced

    def advance(self, steps: int = 1) -> None:
        told = min(steps, self._left)
        self._left -= told
        self._progress.advance(told)

    def finish(self) -> None:
        """Passes on the steps that are missing, for what was left out or failed."""
        self.advance(self._left)
