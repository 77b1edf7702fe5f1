"""Faces picked by hand: matches the boxes of a choice with the faces that were found, which may have moved a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...fields import setting
from ..face import Box, Face, Faces, numbered
from .choosing import Choice, LeftOut
from .picks import Pick, box_in_percent, drawn_face, parse_picks

# The least intersection over union of an entry and the face that it means. Boxes of one size are still the same face
# when one is shifted by half of its width (a third in common) or by a quarter both ways (0.39), and so are two of which
# one is 1.8 times as wide and as tall; faces side by side have nothing in common.
SAME = 0.3


@dataclass(frozen=True)
class PickSettings:
    """Which faces are taken by hand.

    Attributes:
        choice: in the language of :mod:`.picks`; empty for all faces.
    """

    choice: str = setting(
        "",
        "Written for you when you click faces in the picture. By hand, in percent of the image: take left,top,width,"
        "height; also leave, draw and none; semicolons between them. Empty: all faces.",
    )


def pick(faces: Faces, settings: PickSettings) -> list[Choice]:
    """What becomes of the faces of each frame.

    Raises:
        ValueError: the choice cannot be read.
    """
    entries = parse_picks(settings.choice)
    frames = len(faces.frames)
    choices = []
    for number, found in enumerate(faces.frames, start=1):
        own = [entry for entry in entries if entry.image in (None, number)]
        choices.append(pick_in_frame(found, faces.width, faces.height, own))
    absent = [str(entry) for entry in entries if entry.image is not None and entry.image > frames]
    if absent:
        notes = (*choices[-1].notes, *(f"'{entry}' is for an image that is not there" for entry in absent))
        choices[-1] = replace(choices[-1], notes=notes)
    return choices


def pick_in_frame(found: Sequence[Face], width: int, height: int, entries: Sequence[Pick]) -> Choice:
    """Takes faces of a frame of ``width`` x ``height`` pixels.

    Where there is a ``take`` or a ``none``, only the faces that are named by a ``take`` are taken, else all but those
    that are named by a ``leave``. A drawn box always becomes a face, and a face that was found in its place gives way
    to it. The faces keep their order; drawn ones follow in the order of their entries.

    An entry that means none of the faces is told in the notes.
    """
    meant = [entry for entry in entries if entry.box is not None]
    shares = [box_in_percent(face, width, height) for face in found]
    matched = matches([entry.box for entry in meant if entry.box is not None], shares)
    kinds = {face: meant[entry].kind for entry, face in matched.items()}
    only = any(entry.kind in ("take", "none") for entry in entries)
    reasons = [_reason(kinds.get(place), only) for place in range(len(found))]
    taken = [face for face, reason in zip(found, reasons, strict=True) if reason is None]
    drawn = [drawn_face(entry.box, width, height) for entry in meant if entry.kind == "draw" and entry.box is not None]
    return Choice(
        numbered([*taken, *drawn]),
        tuple(LeftOut(face, why) for face, why in zip(found, reasons, strict=True) if why is not None),
        tuple(
            f"there is no face at '{entry}'"
            for place, entry in enumerate(meant)
            if entry.kind != "draw" and place not in matched
        ),
    )


def matches(entries: Sequence[Box], faces: Sequence[Box]) -> dict[int, int]:
    """Which face each entry means: a greedy matching by intersection over union, of :data:`SAME` at least. Each entry
    and each face is matched at most once.

    Args:
        entries, faces: left, top, width and height, in any unit.

    Returns:
        From places among the entries to places among the faces. Entries that mean no face are absent.
    """
    pairs = sorted(
        (-iou, entry, face)
        for entry, one in enumerate(entries)
        for face, other in enumerate(faces)
        if (iou := box_iou(one, other)) >= SAME
    )
    meant: dict[int, int] = {}
    free = set(range(len(faces)))
    for _, entry, face in pairs:
        if entry not in meant and face in free:
            meant[entry] = face
            free.remove(face)
    return meant


def box_iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes of left, top, width and height, at least one of which has an area."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (one[2] * one[3] + other[2] * other[3] - across * down)


def _reason(kind: str | None, only: bool) -> str | None:
    """Why a face is left out that an entry of a kind means, or none."""
    if kind == "leave":
        return "taken out by hand"
    if kind == "draw":
        return "a box that was drawn by hand stands in its place"
    return "not among those taken by hand" if only and kind != "take" else None
