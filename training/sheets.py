"""Square pictures in memory at several sizes, each with the face that is known to be in it, or with none.

Composites are made of them. Coordinates on a sheet are shares of its half side from its centre: -1 is the left or
upper edge, 1 the right or lower one, as in ``grid_sample`` without aligned corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.face import Box
from ..faces.sampling import area_resize
from .labels import Label, LabelledFace

SMALLEST_SIDE = 32
# Side of the square around a face over the longer side of its box, where the picture has room: hair, ears, collar.
_ROOM = 2.2
# What is cut away as free of faces keeps clear of every face by this share of its box.
_CLEARANCE = 0.25
# A piece of fewer pixels shows too little.
_LEAST_PIECE = 96
_BLOCK = 256


@dataclass(frozen=True)
class Sheets:
    """Sheets of one size.

    Attributes:
        levels: side to ``[N, 3, side, side]`` uint8, each side half of the one before.
        boxes: ``[N, 4]`` float32 left, top, right, bottom of the face; NaN where there is none.
        landmarks: ``[N, 5, 2]`` float32; NaN where there is no face.
    """

    levels: dict[int, Tensor]
    boxes: Tensor
    landmarks: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device | str) -> Sheets:
        levels = {side: level.to(device) for side, level in self.levels.items()}
        return Sheets(levels, self.boxes, self.landmarks)

    def every(self, step: int) -> Sheets:
        """The first, and each one that lies ``step`` after another."""
        levels = {side: level[::step] for side, level in self.levels.items()}
        return Sheets(levels, self.boxes[::step], self.landmarks[::step])

    def only(self, numbers: Tensor) -> Sheets:
        """Those of these numbers, in their order, as often as they are named."""
        levels = {side: level[numbers] for side, level in self.levels.items()}
        return Sheets(levels, self.boxes[numbers], self.landmarks[numbers])

    def level_for(self, side: float) -> int:
        """The smallest level with at least ``side`` pixels, or the largest there is."""
        return min((one for one in self.levels if one >= side), default=max(self.levels))


@dataclass(frozen=True)
class Piece:
    """A square of a picture, and the face in it, both in pixels of the picture.

    Attributes:
        picture: ``[3, H, W]`` uint8.
        left, top, side: the square, inside the picture.
        face: the one face that may be seen in the square, or ``None``.
    """

    picture: Tensor
    left: int
    top: int
    side: int
    face: LabelledFace | None = None


def sheets_of(pieces: Iterable[Piece], side: int) -> Sheets:
    """Cuts the squares out and brings them to ``side`` pixels.

    Args:
        side: a power of two times :data:`SMALLEST_SIDE`.
    """
    pictures, boxes, landmarks = _Pictures(side), [], []
    for piece in pieces:
        pictures.add(_square(piece, side))
        points = torch.full((7, 2), float("nan"))
        if piece.face is not None:
            box = piece.face.box
            points = torch.tensor([box[:2], box[2:], *piece.face.landmarks])
            points = (points + 0.5 - torch.tensor([piece.left, piece.top])) * (2 / piece.side) - 1
        boxes.append(points[:2].reshape(4))
        landmarks.append(points[2:])
    return Sheets(with_levels(pictures.stacked()), torch.stack(boxes), torch.stack(landmarks))


class _Pictures:
    """Pictures of one size that become one tensor, never more than once in memory.

    They are kept in large blocks, which go back to the system one by one: what thousands of small tensors took stays
    with the process.
    """

    def __init__(self, side: int) -> None:
        self._shape = (_BLOCK, 3, side, side)
        self._blocks: list[Tensor] = []
        self._count = 0

    def add(self, picture: Tensor) -> None:
        place = self._count % _BLOCK
        if place == 0:
            self._blocks.append(torch.empty(self._shape, dtype=torch.uint8))
        self._blocks[-1][place] = picture
        self._count += 1

    def stacked(self) -> Tensor:
        """``[N, 3, side, side]``; nothing is left here."""
        whole = torch.empty((self._count, *self._shape[1:]), dtype=torch.uint8)
        while self._blocks:
            start = _BLOCK * (len(self._blocks) - 1)
            whole[start : start + _BLOCK] = self._blocks.pop()[: self._count - start]
        return whole


def with_levels(level: Tensor) -> dict[int, Tensor]:
    """``[N, 3, side, side]`` uint8 and its halves down to :data:`SMALLEST_SIDE`, as :class:`Sheets` has them."""
    side = level.shape[-1]
    levels = {side: level}
    while side > SMALLEST_SIDE:
        side //= 2
        # A piece at a time: all at once as floats would take five times the memory of the pictures.
        halves = [F.avg_pool2d(part.float(), 2).round_().byte() for part in torch.split(level, 64)]
        levels[side] = level = torch.cat(halves)
    return levels


def _square(piece: Piece, side: int) -> Tensor:
    """``[3, side, side]`` uint8."""
    cut = piece.picture[:, piece.top : piece.top + piece.side, piece.left : piece.left + piece.side]
    picture = cut.float()
    if piece.side > side:
        picture = area_resize(picture.permute(1, 2, 0), side, side).permute(2, 0, 1)
    elif piece.side < side:
        picture = F.interpolate(picture[None], (side, side), mode="bilinear", align_corners=False)[0]
    return picture.round_().clamp_(0, 255).byte()


def single_face(label: Label) -> LabelledFace | None:
    """The face of a picture that surely shows one face and no other."""
    return label.faces[0] if len(label.faces) == 1 and not label.doubtful else None


def around_face(picture: Tensor, face: LabelledFace) -> Piece:
    """The square around a face, with the room of :data:`_ROOM` where the picture has it."""
    height, width = picture.shape[1:]
    left, top, right, bottom = face.box
    side = min(height, width, round(max(right - left, bottom - top) * _ROOM))
    return Piece(
        picture,
        _inside((left + right + 1 - side) / 2, width - side),
        _inside((top + bottom + 1 - side) / 2, height - side),
        side,
        face,
    )


def largest_square(picture: Tensor, face: LabelledFace | None) -> Piece:
    """As much of the picture as a square shows, from the top, where portraits have the face."""
    height, width = picture.shape[1:]
    side = min(height, width)
    return Piece(picture, (width - side) // 2, 0, side, face)


def free_pieces(picture: Tensor, label: Label) -> list[Piece]:
    """Squares to the left, to the right and below all that is or may be a face, with no face in them."""
    height, width = picture.shape[1:]
    boxes = [_widened(box) for box in (*(face.box for face in label.faces), *label.doubtful)]
    left = min((box[0] for box in boxes), default=float(width))
    right = max((box[2] for box in boxes), default=0.0)
    bottom = max((box[3] for box in boxes), default=0.0)
    below, before, after = int(height - 1 - bottom), int(left), int(width - 1 - right)
    squares = [
        (width - min(below, width), height - min(below, width), min(below, width)),
        (0, 0, min(before, height)),
        (width - min(after, height), 0, min(after, height)),
    ]
    return [Piece(picture, *square) for square in squares if square[2] >= _LEAST_PIECE]


def with_faces_filled(picture: Tensor, label: Label) -> Tensor:
    """The picture with its faces filled in from around them: a body and a place without a head."""
    import cv2
    import numpy as np

    pixels = picture.permute(1, 2, 0).contiguous().numpy()
    hidden = np.zeros(pixels.shape[:2], np.uint8)
    for box in (*(face.box for face in label.faces), *label.doubtful):
        left, top, right, bottom = (round(value) for value in _widened(box))
        hidden[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 255
    # At a quarter of the size it is quick, and smooth filling is all that is asked for.
    size = pixels.shape[1] // 4, pixels.shape[0] // 4
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    hole = cv2.resize(hidden, size, interpolation=cv2.INTER_NEAREST)
    filled = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), pixels.shape[1::-1])
    return torch.from_numpy(np.where(hidden[..., None] > 0, filled, pixels)).permute(2, 0, 1)


def joined_sheets(parts: Sequence[Sheets]) -> Sheets:
    """Sheets of one size, one after the other."""
    levels = {side: torch.cat([part.levels[side] for part in parts]) for side in parts[0].levels}
    return Sheets(levels, torch.cat([part.boxes for part in parts]), torch.cat([part.landmarks for part in parts]))


def _widened(box: Box) -> Box:
    beside, above = _CLEARANCE * (box[2] - box[0]), _CLEARANCE * (box[3] - box[1])
    return box[0] - beside, box[1] - above, box[2] + beside, box[3] + above


def _inside(start: float, most: int) -> int:
    return max(0, min(round(start), most))
