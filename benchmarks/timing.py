"""Paired timings: two ways of doing the same job, in turn, in one process."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def paired(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, one after the other in every round, after a round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds + 1):
        for job, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            job()
            if index > 0:
                taken.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def options(description: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"counted rounds (default {rounds})")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    if path is not None:
        path.write_text(json.dumps(figures, indent=1))
