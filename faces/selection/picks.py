"""The text of a choice made by hand, and its parser: faces named by their boxes in the picture.

Entries stand on lines of their own or between semicolons. Each is one of these, in any case::

    take 31.2, 18, 10.5, 14     this face; so of this image only the faces that are named so
    leave 31.2, 18, 10.5, 14    not this face
    draw 60, 20, 8.5, 10        a face here, where none was found
    none                        no face of those that were found

The numbers are the left edge, the top edge, the width and the height of a box in percent of the width and the height
of the image; without a word before them they mean ``take``. ``image 2:`` before an entry makes it one of the second
image of a batch alone; without it, it is one of every image.

The page writes the same text when faces are clicked (``js/pick/choice.js``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ..face import Box, Face

# More than any picture shows, and few enough to be gone through at once.
_MOST_ENTRIES = 1000
_DECIMALS = 2
_ENTRY = re.compile(
    r"(?:image\s+(?P<image>\d{1,9})\s*:\s*)?(?P<word>[a-z]*)\s*(?P<numbers>.*)", re.IGNORECASE | re.ASCII
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)", re.ASCII)

PickKind = Literal["take", "leave", "draw", "none"]

_KINDS: dict[str, PickKind] = {kind: kind for kind in get_args(PickKind)}


@dataclass(frozen=True)
class Pick:
    """One entry.

    Attributes:
        kind: what is done with the face at ``box``, or ``none`` for: nothing but what else is named.
        box: left, top, width and height in percent of the width and the height of the frame; ``None`` for ``none``.
        image: the number of the frame from 1 on; ``None`` for every frame.
    """

    kind: PickKind
    box: Box | None = None
    image: int | None = None

    def __str__(self) -> str:
        place = "" if self.image is None else f"image {self.image}: "
        numbers = "" if self.box is None else " " + ",".join(_short(number) for number in self.box)
        return f"{place}{self.kind}{numbers}"


def parse_picks(text: str) -> tuple[Pick, ...]:
    """Reads a choice; nothing but spaces is an empty one.

    Raises:
        ValueError: names the entry that cannot be read, and how one is written.
    """
    entries = [entry.strip() for entry in re.split(r"[;\n]", text)]
    read = tuple(_pick(entry) for entry in entries if entry)
    if len(read) > _MOST_ENTRIES:
        raise ValueError(f"The choice has {len(read)} entries. At most {_MOST_ENTRIES} are gone through.")
    return read


def box_in_percent(face: Face, width: int, height: int) -> Box:
    """The box of a face in a frame of ``width`` x ``height`` pixels as a choice has it: in percent, to two decimals."""
    left, top, right, bottom = face.box
    across, down = 100 / width, 100 / height
    edges = (left + 0.5) * across, (top + 0.5) * down, (right - left) * across, (bottom - top) * down
    left, top, wide, tall = (round(edge, _DECIMALS) for edge in edges)
    return left, top, wide, tall


def drawn_face(box: Box, width: int, height: int) -> Face:
    """The face of a drawn box in a frame of ``width`` x ``height`` pixels: without landmarks, of score 1."""
    left, top, wide, tall = box
    return Face(
        (
            left / 100 * width - 0.5,
            top / 100 * height - 0.5,
            (left + wide) / 100 * width - 0.5,
            (top + tall) / 100 * height - 0.5,
        )
    )


def _pick(entry: str) -> Pick:
    found = _ENTRY.fullmatch(entry)
    kind = None if found is None else _KINDS.get(found["word"].lower() or "take")
    if found is None or kind is None:
        raise ValueError(
            f"'{entry}' is no entry of a choice. Write take, leave, draw or none, such as: take 31,18,10,14"
        )
    image = None if found["image"] is None else int(found["image"])
    if image == 0:
        raise ValueError(f"'{entry}': images are numbered from 1 on.")
    if kind == "none":
        if found["numbers"]:
            raise ValueError(f"'{entry}': none stands alone, without numbers.")
        return Pick(kind, None, image)
    return Pick(kind, _box(entry, found["numbers"]), image)


def _box(entry: str, text: str) -> Box:
    numbers = re.split(r"\s*,\s*|\s+", text.strip())
    if len(numbers) != 4 or not all(map(_NUMBER.fullmatch, numbers)):
        raise ValueError(f"'{entry}': four numbers are needed, left, top, width and height in percent of the image.")
    left, top, width, height = map(float, numbers)
    if not (0 < width <= 200 and 0 < height <= 200):
        raise ValueError(f"'{entry}': width and height must be more than 0 and at most 200 percent.")
    if not (left < 100 and top < 100 and left + width > 0 and top + height > 0):
        raise ValueError(f"'{entry}': the box lies outside the image. Left and top are in percent of the image.")
    return left, top, width, height


def _short(number: float) -> str:
    """At most two decimals, and none that say nothing."""
    return f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".")
