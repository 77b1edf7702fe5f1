"""The loop around every training: steps until the run or the time is over, a line now and then, checkpoints."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..models.host import TorchHost
from . import checkpoints
from .checkpoints import Checkpoint

CHECKPOINT = "checkpoint.pt"
"""Name of the checkpoint in the folder of a run."""
_LOG = "log.jsonl"

_logger = logging.getLogger(__name__)


class Job(Protocol):
    """What is trained."""

    @property
    def steps(self) -> int:
        """Length of the whole run."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Plain data: what must stay the same for the run to go on from a checkpoint."""
        ...

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Does step ``number``, counted from 0. Gives numbers to be told, without gradient, on any device.

        All it draws must follow from ``number`` or from torch's global generators, for a run that goes on to be the
        run that never stopped.
        """
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Pace:
    """When to stop, to tell and to save.

    Attributes:
        minutes: the run saves and stops after that time, to be gone on with later. ``None``: at its last step only.
        tell_seconds: time between two lines.
        save_minutes: time between two checkpoints.
    """

    minutes: float | None = None
    tell_seconds: float = 20.0
    save_minutes: float = 5.0


def pick_device(name: str | None) -> torch.device:
    """The device of that name, or the best one, set up for speed."""
    device = TorchHost(name, quiet=True).device
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        # Convolutions only: blurs and transforms of JPEG are products of matrices and need all their digits.
        torch.backends.cudnn.allow_tf32 = True
    return device


def mixed(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where it is quick. CPUs without AMX take three times as long in it as in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def run(job: Job, folder: Path, pace: Pace) -> int:
    """Trains until the last step or until the time is over, going on from the checkpoint in ``folder`` if one is there.

    Saves every few minutes and at the end; what was learned since the last time is lost where it is stopped by Ctrl-C.

    Returns:
        Steps done over the whole life of the run.

    Raises:
        CheckpointError: the folder holds a run with other settings.
        FloatingPointError: a number that is told is not finite; the last checkpoint stays.
    """
    start = time.monotonic()
    path = folder / CHECKPOINT
    step = 0
    if path.exists():
        checkpoint = checkpoints.load(path, job.settings)
        job.restore(checkpoint.state)
        step = checkpoint.step
        _logger.info("Going on from step %d of %d.", step, job.steps)
    folder.mkdir(parents=True, exist_ok=True)
    teller = _Teller(folder / _LOG, job.steps, pace.tell_seconds)
    saved = start
    try:
        while step < job.steps and not _over(start, pace.minutes):
            teller.hear(job.step(step))
            step += 1
            teller.tell(step)
            if time.monotonic() - saved >= 60 * pace.save_minutes:
                _save(path, job, step)
                saved = time.monotonic()
    except KeyboardInterrupt:
        _logger.info("Stopped at step %d; the same command goes on from the last checkpoint.", step)
        raise
    teller.tell(step, now=True)
    _save(path, job, step)
    return step


def _over(start: float, minutes: float | None) -> bool:
    return minutes is not None and time.monotonic() - start >= 60 * minutes


def _save(path: Path, job: Job, step: int) -> None:
    checkpoints.save(path, Checkpoint(step, job.settings, job.state()))


class _Teller:
    """Means of what the steps gave, on the terminal and in a file of JSON lines."""

    def __init__(self, log: Path, steps: int, seconds: float) -> None:
        self._log = log
        self._steps = steps
        self._seconds = seconds
        self._since = time.monotonic()
        self._heard = 0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def hear(self, numbers: Mapping[str, Tensor]) -> None:
        # Summed where they lie: reading them at every step would make a GPU wait.
        for name, value in numbers.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._heard += 1

    def tell(self, step: int, now: bool = False) -> None:
        taken = time.monotonic() - self._since
        if self._heard == 0 or not (now or taken >= self._seconds):
            return
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        pace = self._heard / taken
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "steps_per_second": round(pace, 3), **means}) + "\n")
        told = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        left = (self._steps - step) / pace / 60
        _logger.info("step %d/%d  %.2f/s  %.0f min left  %s", step, self._steps, pace, left, told)
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(f"Step {step}: {', '.join(broken)} is not finite. The last checkpoint is kept.")
        self._since, self._heard, self._sums, self._counts = time.monotonic(), 0, {}, {}
