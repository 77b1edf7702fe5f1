"""What was found and done, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..atomic import replacing
from ..faces.described import as_data
from ..pipeline import Outcome
from .batches import Failures


def outcome_described(outcome: Outcome) -> dict[str, object]:
    enlargement = None if outcome.enlargement is None else round(outcome.enlargement, 3)
    done = {"action": outcome.action, "reason": outcome.reason, "enlargement": enlargement}
    if outcome.action == "refined":
        done |= {"prompt": outcome.prompt, "seed": outcome.seed, "denoise": outcome.denoise}
    if outcome.remark is not None:
        done |= {"remark": outcome.remark}
    return as_data(outcome.face) | done


def frame_described(
    source: Path, target: Path | None, width: int, height: int, faces: Iterable[Mapping[str, object]]
) -> dict[str, object]:
    return {
        "input": str(source),
        "output": None if target is None else str(target),
        "size": [width, height],
        "faces": list(faces),
    }


def finish(path: Path | None, frames: Iterable[Mapping[str, object]], failures: Failures) -> int:
    """Writes the report, where one is asked for, tells what failed, and gives the exit code."""
    code = failures.tell()
    if path is None:
        return code
    try:
        _write(path, frames, failures.reasons)
    except OSError as error:
        print(f"{path}: the report cannot be written ({error}).", file=sys.stderr)
        return 1
    return code


def _write(path: Path, frames: Iterable[Mapping[str, object]], failures: Mapping[str, str]) -> None:
    """The file appears only when it is whole."""
    report = {
        "frames": list(frames),
        "errors": [{"input": source, "error": reason} for source, reason in failures.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")
