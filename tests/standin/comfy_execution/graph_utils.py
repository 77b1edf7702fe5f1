"""A stand-in: what is put out where the nodes that follow shall not run."""

from __future__ import annotations


class ExecutionBlocker:
    def __init__(self, message: str | None) -> None:
        self.message = message
