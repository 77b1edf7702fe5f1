"""What was done to faces, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from ..faces.described import in_words
from .outcome import Outcome


def outcome_report(outcomes: Sequence[Sequence[Outcome]], done: Literal["restored", "refined"]) -> str:
    """A line for each frame and for each of its faces; images and faces are counted from 1.

    Args:
        outcomes: of the faces of each frame.
        done: what is said of those that were worked on.
    """
    lines = []
    for number, frame in enumerate(outcomes, start=1):
        worked_on = sum(outcome.action != "skipped" for outcome in frame)
        faces = "1 face" if len(frame) == 1 else f"{len(frame)} faces"
        lines.append(f"Image {number}: {f'{worked_on} of {faces} {done}' if frame else 'no face'}")
        lines += [f"- {in_words(outcome.face)}: {', '.join(_told(outcome))}" for outcome in frame]
    return "\n".join(lines)


def _told(outcome: Outcome) -> Iterator[str]:
    if outcome.action == "skipped":
        yield f"left as it was, {outcome.reason}"
        return
    yield outcome.action if outcome.enlargement is None else f"{outcome.action} at {outcome.enlargement:.2g}x its size"
    if outcome.enlargement is not None and outcome.enlargement < 1:
        yield "which loses detail"
    if outcome.denoise is not None:
        yield f"denoise {outcome.denoise:.3g}"
    if outcome.seed is not None:
        yield f"seed {outcome.seed}"
    if outcome.prompt:
        yield f'prompt "{outcome.prompt}"'
    if outcome.remark:
        yield outcome.remark
