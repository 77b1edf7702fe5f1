"""What was found and done, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..faces.described import as_data
from ..models.atomic import replacing
from ..pipeline import Outcome


def outcome_described(outcome: Outcome) -> dict[str, object]:
    enlargement = None if outcome.enlargement is None else round(outcome.enlargement, 3)
    done = {"action": outcome.action, "reason": outcome.reason, "enlargement": enlargement}
    if outcome.action == "refined":
        done |= {"prompt": outcome.prompt, "seed": outcome.seed, "denoise": outcome.denoise}
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


def write_report(path: Path, frames: Iterable[Mapping[str, object]], failures: Mapping[str, str]) -> None:
    """Writes the report; the file appears only when it is whole."""
    report = {
        "frames": list(frames),
        "errors": [{"input": source, "error": reason} for source, reason in failures.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")
