"""Many small pictures on one sheet, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..faces.sampling import area_resize
from .pictures import as_float

_CELL, _COLUMNS = 48, 40


def write_picture(path: Path, picture: Tensor) -> None:
    """Writes ``[3, H, W]`` uint8, RGB, in the format that the file's name ends in."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2BGR))


def cell(picture: Tensor) -> Tensor:
    """``[3, 48, 48]`` uint8: the square in the middle of a picture ``[3, H, W]``, for :func:`write_contact`."""
    height, width = picture.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = as_float(picture[:, top : top + side, left : left + side].permute(1, 2, 0).contiguous())
    return area_resize(square, _CELL, _CELL).mul(255).round().byte().permute(2, 0, 1)


def write_contact(path: Path, cells: Sequence[Tensor]) -> None:
    """Writes cells side by side, 40 in a row; nothing where there are none."""
    if not cells:
        return
    sheet = torch.zeros(3, -(-len(cells) // _COLUMNS) * _CELL, _COLUMNS * _CELL, dtype=torch.uint8)
    for number, one in enumerate(cells):
        y, x = (place * _CELL for place in divmod(number, _COLUMNS))
        sheet[:, y : y + _CELL, x : x + _CELL] = one
    write_picture(path, sheet)
