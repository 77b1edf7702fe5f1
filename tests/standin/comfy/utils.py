"""A stand-in: a progress bar that only counts."""

from __future__ import annotations


class ProgressBar:
    def __init__(self, total: int) -> None:
        self.total = total
        self.current = 0

    def update(self, value: int) -> None:
        self.current = min(self.current + value, self.total)
