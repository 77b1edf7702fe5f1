"""What was found and done, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..atomic import replacing
from ..faces.formatting import as_data
from ..pipeline import Outcome
from .batches import Failures
from .inputs import Plan


def outcome_data(outcome: Outcome) -> dict[str, object]:
    enlargement = None if outcome.enlargement is None else round(outcome.enlargement, 3)
    done = {"action": outcome.action, "reason": outcome.reason, "enlargement": enlargement}
    if outcome.action == "refined":
        done |= {"prompt": outcome.prompt, "seed": outcome.seed, "denoise": outcome.denoise}
    if outcome.remark is not None:
        done |= {"remark": outcome.remark}
    return as_data(outcome.face) | done


def frame_data(
    source: Path, target: Path | None, width: int, height: int, faces: Iterable[Mapping[str, object]]
) -> dict[str, object]:
    return {
        "input": str(source),
        "output": None if target is None else str(target),
        "size": [width, height],
        "faces": list(faces),
    }


@contextmanager
def reporting(path: Path | None, todo: Plan, failures: Failures) -> Iterator[list[dict[str, object]]]:
    """Takes what is told of each picture, and writes the report when the block ends, by Ctrl-C too.

    What a report of the same path said of pictures of the plan stays where nothing is told of them now: their results
    are there already, or the work ended before them.

    Args:
        path: nothing is written where there is none.
    """
    frames: list[dict[str, object]] = []
    try:
        yield frames
    finally:
        if path is not None:
            try:
                _write(path, todo, frames, failures.reasons)
            except OSError as error:
                failures.complain(f"{path}: the report cannot be written ({error}).")


def _write(path: Path, todo: Plan, frames: Iterable[Mapping[str, object]], failures: Mapping[str, str]) -> None:
    """The file appears only when it is whole."""
    told: dict[str, list[Mapping[str, Any]]] = {
        "frames": list(frames),
        "errors": [{"input": source, "error": reason} for source, reason in failures.items()],
    }
    kept = _kept(path, todo, {_place(each["input"]) for some in told.values() for each in some})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        report = {name: [*kept.get(name, ()), *told[name]] for name in told}
        unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _kept(path: Path, todo: Plan, told: Collection[str]) -> dict[str, list[Mapping[str, Any]]]:
    """What an earlier report says of the pictures of a plan of which nothing is told now, by their places."""
    targets = {_place(job.source): _place(job.target) for job in (*todo.jobs, *todo.skipped)}

    def stays(each: Mapping[str, Any]) -> bool:
        source, target = _place(each["input"]), each.get("output")
        # What was written to another folder is not the result of this plan.
        return source in targets and source not in told and (target is None or _place(target) == targets[source])

    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        return {name: [each for each in earlier[name] if stays(each)] for name in ("frames", "errors")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # there is none, or another program wrote it


def _place(path: str | Path) -> str:
    return os.path.normcase(Path(path).absolute())
