"""Timings: ways of doing the same job, in turn, in one process, on a device that may work after a call has returned."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

Job = Callable[[], object]

CPU = torch.device("cpu")


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "xpu":
        torch.xpu.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds(job: Job, device: torch.device = CPU) -> float:
    synchronise(device)
    start = time.perf_counter()
    job()
    synchronise(device)
    return time.perf_counter() - start


def in_turn(jobs: Sequence[Job], rounds: int, device: torch.device = CPU) -> list[float]:
    """Median seconds of each, one after the other in every round, after a round that does not count."""
    taken = [[seconds(job, device) for job in jobs] for _ in range(rounds + 1)][1:]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def usable_device(name: str) -> torch.device:
    """Raises ``SystemExit`` with a sentence where there is no such device."""
    try:
        return torch.empty(1, device=name).device
    # PyTorch built without CUDA says so with an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise SystemExit(
            f"There is no device {name} here ({str(error).splitlines()[0]}). Choose --device cpu."
        ) from error


def options(description: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"counted rounds (default {rounds})")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    if path is not None:
        path.write_text(json.dumps(figures, indent=1))
