"""Orders of the faces of a frame, all by their boxes and none by the order in which they were detected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from ..face import Face, by_position, reading_order

Order = Literal[
    "reading",
    "left to right",
    "right to left",
    "top to bottom",
    "bottom to top",
    "from the centre",
    "largest first",
    "smallest first",
    "surest first",
]


def ordered(faces: Iterable[Face], order: Order, width: int, height: int) -> tuple[Face, ...]:
    """The faces of a frame of ``width`` x ``height`` pixels in an order; their numbers stay as they are.

    Places are those of the centres of boxes, sizes are areas of boxes. Faces that are alike in this stand from top to
    bottom and from left to right, so that the order of the same faces is the same in whatever order they come.
    """
    if order == "reading":
        return reading_order(faces)
    middle = ((width - 1) / 2, (height - 1) / 2)
    ranks: dict[Order, Callable[[Face], float]] = {
        "left to right": lambda face: face.centre[0],
        "right to left": lambda face: -face.centre[0],
        "top to bottom": lambda face: face.centre[1],
        "bottom to top": lambda face: -face.centre[1],
        "from the centre": lambda face: math.dist(face.centre, middle),
        "largest first": lambda face: -face.width * face.height,
        "smallest first": lambda face: face.width * face.height,
        "surest first": lambda face: -face.score,
    }
    rank = ranks[order]
    return tuple(sorted(faces, key=lambda face: (rank(face), by_position(face))))
