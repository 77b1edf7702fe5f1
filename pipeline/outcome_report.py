"""What was done to faces, as people read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from ..faces.formatting import counted, in_words
from .outcome import Outcome

Verb = Literal["restored", "refined"]
# Enlargements from the first up to the second neither take away detail that one could see nor are worth telling.
_AS_IT_IS = 0.95, 1.05


def outcome_report(outcomes: Sequence[Sequence[Outcome]], verb: Verb) -> str:
    """A line for each frame and for each of its faces; images and faces are counted from 1.

    Args:
        outcomes: of the faces of each frame.
        verb: for those that were worked on.
    """
    lines = []
    for number, frame in enumerate(outcomes, start=1):
        lines.append(f"Image {number}: {outcome_summary(frame, verb)}")
        lines += [f"- {in_words(outcome.face)}: {', '.join(_told(outcome))}" for outcome in frame]
    return "\n".join(lines)


def outcome_summary(frame: Sequence[Outcome], verb: Verb) -> str:
    """How many of the faces of a frame were worked on: ``2 of 3 faces restored``, or ``no face``."""
    if not frame:
        return "no face"
    worked_on = sum(outcome.action != "skipped" for outcome in frame)
    return f"{worked_on} of {counted(len(frame))} {verb}"


def outcome_total(outcomes: Sequence[Sequence[Outcome]], verb: Verb) -> str:
    """The :func:`outcome_summary` of all frames together."""
    return outcome_summary([outcome for frame in outcomes for outcome in frame], verb)


def outcome_reasons(frame: Sequence[Outcome]) -> str:
    """Why faces of a frame were left out, and what else there is to say, counted: ``2: not among the 3 largest``."""
    times = Counter(said for outcome in frame if (said := outcome.reason or outcome.remark))
    return "; ".join(f"{count}: {said}" for said, count in times.items())


def _crop(enlargement: float | None) -> str:
    """At which size the face was worked on; nothing where that is not known, or its own."""
    if enlargement is None or _AS_IT_IS[0] <= enlargement < _AS_IT_IS[1]:
        return ""
    if enlargement < 1:
        return f" in a crop shrunk to {enlargement:.2g}x, which loses detail"
    return f" in a crop enlarged {enlargement:.2g}x"


def _told(outcome: Outcome) -> Iterator[str]:
    if outcome.action == "skipped":
        yield f"left as it was, {outcome.reason}"
        return
    yield f"{outcome.action}{_crop(outcome.enlargement)}"
    if outcome.denoise is not None:
        yield f"denoise {outcome.denoise:.3g}"
    if outcome.seed is not None:
        yield f"seed {outcome.seed}"
    if outcome.prompt:
        yield f'prompt "{outcome.prompt}"'
    if outcome.remark:
        yield outcome.remark
