"""How much of a face lies in a region of its frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..face import Face


def shares_in_region(faces: Sequence[Face], region: Tensor) -> list[float]:
    """For each face of a frame: the share of its box that lies in a region, 0..1.

    Only the part of a box inside the frame counts; a face without one has no share.

    Args:
        region: ``[H, W]`` 0..1 of the size of the frame. What is grey counts in part.
    """
    height, width = region.shape

    def share(face: Face) -> float:
        left, top, right, bottom = face.box
        columns = slice(max(math.ceil(left), 0), min(math.floor(right) + 1, width))
        rows = slice(max(math.ceil(top), 0), min(math.floor(bottom) + 1, height))
        part = region[rows, columns] if columns.start < columns.stop and rows.start < rows.stop else None
        return 0.0 if part is None else float(part.mean())

    return [share(face) for face in faces]
