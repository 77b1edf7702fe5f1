"""From criteria, an order and a range to the faces that are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..face import Face, numbered
from ..formatting import counted, in_words
from .criteria import SelectSettings, reason_against
from .order import ordered
from .places import parse_places


@dataclass(frozen=True)
class LeftOut:
    """A face that was not taken, with the number that it had, and why."""

    face: Face
    reason: str


@dataclass(frozen=True)
class Choice:
    """What becomes of the faces of one frame.

    Attributes:
        taken: in the order that was asked for, numbered anew.
        left_out: in the order in which they came.
        notes: what else is to be said of the frame.
    """

    taken: tuple[Face, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()


def choose(
    faces: Sequence[Face], width: int, height: int, settings: SelectSettings, overlaps: Sequence[float] | None = None
) -> Choice:
    """Takes faces of a frame of ``width`` x ``height`` pixels.

    First all that do not meet the criteria are left out. The rest is put in order, and the range counts in that.

    Args:
        overlaps: for each face the share of its box in the region, 0..1; ``None`` without a region.

    Raises:
        ValueError: the indices cannot be read.
    """
    shares: Sequence[float | None] = [None] * len(faces) if overlaps is None else overlaps
    reasons = {
        face.index: reason_against(face, width, height, settings.criteria, share)
        for face, share in zip(numbered(faces), shares, strict=True)
    }
    able = ordered((face for face in numbered(faces) if reasons[face.index] is None), settings.order, width, height)
    end = settings.first + settings.count if settings.count else len(able)
    by_index = bool(settings.indices.strip())
    asked = parse_places(settings.indices, len(able)) if by_index else range(settings.first, end)
    for place, face in enumerate(able):
        if place not in asked and by_index:
            reasons[face.index] = f"at place {place} of the order (from 0), which is not asked for"
        elif place not in asked:
            reasons[face.index] = f"number {place + 1} in the order; only {_range(settings.first, settings.count)}"
    return Choice(
        numbered(faces[able[place].index] for place in asked if place < len(able)),
        tuple(LeftOut(face, why) for face, why in zip(faces, reasons.values(), strict=True) if why is not None),
    )


def choice_report(choices: Sequence[Choice]) -> str:
    """What was taken of each frame, and why the rest was not, for people: a line for each, numbers from 1 on."""
    lines = []
    for frame, choice in enumerate(choices):
        lines.append(f"Image {frame + 1}: {choice_summary([choice])}")
        lines += [f"- {in_words(each.face)}: {each.reason}" for each in choice.left_out]
        lines += [f"- {note}" for note in choice.notes]
    return "\n".join(lines)


def choice_summary(choices: Sequence[Choice]) -> str:
    """How many faces were taken, of all frames together: ``2 of 3 faces taken``."""
    taken = sum(len(choice.taken) for choice in choices)
    return f"{taken} of {counted(taken + sum(len(choice.left_out) for choice in choices))} taken"


def _range(first: int, count: int) -> str:
    """What is asked for from place ``first`` on, counted from 0: ``the first 2 are asked for``."""
    if count == 0:
        return f"those from number {first + 1} on are asked for"
    if count == 1:
        return f"{f'number {first + 1}' if first else 'the first'} is asked for"
    return f"{f'numbers {first + 1} to {first + count}' if first else f'the first {count}'} are asked for"
