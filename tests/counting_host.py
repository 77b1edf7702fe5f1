"""A host that counts what was announced of the progress and what was told of it."""

from __future__ import annotations

from visage.models.host import TorchHost


class CountingHost(TorchHost):
    """It is the progress that it gives out, too.

    Attributes:
        totals: of every progress that was asked for.
        told: the steps of all of them together.
    """

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)
        self.totals: list[int] = []
        self.told = 0

    def progress(self, total: int, label: str) -> CountingHost:
        self.totals.append(total)
        return self

    def advance(self, steps: int = 1) -> None:
        self.told += steps
