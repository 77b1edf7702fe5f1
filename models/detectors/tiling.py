"""At which sizes, and in which tiles, a frame is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A small frame is enlarged up to this many times. Of 60 faces that fill a frame of 32 px, yolov8n-face finds 44 at that
# size, 58 at twice and all at four times; at eight times, and in frames of 96 px and more beyond twice, it finds fewer.
_MOST_ENLARGED = 4.0


@dataclass(frozen=True)
class Tile:
    """Part of a level: where it begins, in pixels of the level, and which of its sides are not sides of the frame."""

    left: int
    top: int
    inner: tuple[bool, bool, bool, bool]


@dataclass(frozen=True)
class Level:
    """A frame at one size, looked at whole or in tiles of one size.

    Attributes:
        width: pixels of the whole frame at this level.
        height: likewise.
        tile_width: pixels of each tile.
        tile_height: likewise.
        tiles: they overlap, and together cover the level.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    tiles: tuple[Tile, ...]


def overview(width: int, height: int, working_size: int) -> Level:
    """The whole frame with its longer side at ``working_size``; small frames are not enlarged beyond need."""
    scale = min(working_size / max(width, height), _MOST_ENLARGED)
    wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
    return Level(wide, tall, wide, tall, (Tile(0, 0, (False, False, False, False)),))


def tiled(width: int, height: int, scale: float, side: int, overlap: int, stride: int) -> Level:
    """The frame at ``scale`` in tiles of one size, as few as fit.

    Args:
        width: of the frame.
        height: of the frame.
        scale: of the level.
        side: about as many pixels as a tile has along each side; up to a quarter more saves a row or a column.
        overlap: least number of pixels that neighbours share.
        stride: sides of tiles are multiples of this.
    """
    wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
    tile_width, lefts = _spread(wide, side, overlap, stride)
    tile_height, tops = _spread(tall, side, overlap, stride)
    tiles = tuple(
        Tile(left, top, (left > 0, top > 0, left + tile_width < wide, top + tile_height < tall))
        for top in tops
        for left in lefts
    )
    return Level(wide, tall, tile_width, tile_height, tiles)


def _spread(length: int, side: int, overlap: int, stride: int) -> tuple[int, list[int]]:
    """Size of the tiles along one side of a level, and where they begin: evenly spread."""
    longest = max(side * 5 // 4, 2 * overlap)
    count = max(1, math.ceil((length - overlap) / (longest - overlap)))
    size = min(length, math.ceil((length + (count - 1) * overlap) / count / stride) * stride)
    return size, [round(index * (length - size) / max(1, count - 1)) for index in range(count)]
