"""Sheets laid onto pictures: where each one lies, and the pixels of many at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.alignment import MIRRORED
from .finish import exposed, grey
from .sheets import Sheets

# Sides of the squares in which sheets are laid: the smallest that holds one is used.
_PATCHES = (24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# How much of a colour given to a sheet hides what it shows.
_OPACITY = 0.8

Bounds = tuple[float, float, float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Placed:
    """One sheet on one picture: ``pixel = at + half * turn(mirror(u - focus))`` for a point ``u`` of the sheet.

    Attributes:
        half: pixels of half a side of the sheet.
        focus: the point of the sheet that lies at ``at``.
        reach: half sizes of what is shown around the focus, on the sheet; an ellipse if ``round_``, else a rectangle.
        softness: width of the edge as a share of the reach.
        coarser: how many times fewer pixels it shows than it could.
        grey: without its colours.
        colour: that it shows instead of most of its own, 0..1.
    """

    picture: int
    sheets: Sheets
    index: int
    at: tuple[float, float]
    half: float
    angle: float = 0.0
    mirrored: bool = False
    focus: tuple[float, float] = (0.0, 0.0)
    reach: tuple[float, float] = (1.0, 1.0)
    round_: bool = False
    softness: float = 0.02
    coarser: int = 1
    grey: bool = False
    colour: Colour | None = None

    @property
    def bounds(self) -> Bounds:
        """The upright rectangle around all that is shown."""
        cosine, sine = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        wide = self.half * (self.reach[0] * cosine + self.reach[1] * sine)
        high = self.half * (self.reach[0] * sine + self.reach[1] * cosine)
        return self.at[0] - wide, self.at[1] - high, self.at[0] + wide, self.at[1] + high

    def face(self) -> Bounds | None:
        """The box of its face in the picture, ``None`` for a sheet without a face."""
        left, top, right, bottom = self.sheets.boxes[self.index].tolist()
        if math.isnan(left):
            return None
        wide, high = (right - left) / 2 * self.half, (bottom - top) / 2 * self.half
        x, y = self.in_picture((left + right) / 2, (top + bottom) / 2)
        # A head is about an ellipse in its box: this is the box of the turned ellipse.
        across = math.hypot(wide * math.cos(self.angle), high * math.sin(self.angle))
        along = math.hypot(wide * math.sin(self.angle), high * math.cos(self.angle))
        return x - across, y - along, x + across, y + along

    def landmarks(self) -> Tensor:
        """``[5, 2]``: those of its face in the picture."""
        five = [self.in_picture(u, v) for u, v in self.sheets.landmarks[self.index].tolist()]
        return torch.tensor([five[index] for index in MIRRORED] if self.mirrored else five)

    def in_picture(self, u: float, v: float) -> tuple[float, float]:
        cosine, sine = math.cos(self.angle) * self.half, math.sin(self.angle) * self.half
        u, v = (self.focus[0] - u if self.mirrored else u - self.focus[0]), v - self.focus[1]
        return self.at[0] + cosine * u - sine * v, self.at[1] + sine * u + cosine * v

    def _to_sheet(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """From pixels around ``at`` to the sheet around ``focus``."""
        cosine, sine = math.cos(self.angle) / self.half, math.sin(self.angle) / self.half
        mirror = -1.0 if self.mirrored else 1.0
        return (mirror * cosine, mirror * sine), (-sine, cosine)

    def view(self, centre: tuple[float, float], side: int) -> list[list[float]]:
        """``[2, 3]``: from a square of the picture, with -1..1 from edge to edge, to the sheet."""
        offset = centre[0] - self.at[0], centre[1] - self.at[1]
        rows = []
        for (a, b), focus in zip(self._to_sheet(), self.focus, strict=True):
            rows.append([a * side / 2, b * side / 2, a * offset[0] + b * offset[1] + focus])
        return rows


def bases(placed: Sequence[Placed], side: int) -> Tensor:
    """``[N, 3, side, side]``: pictures of which one sheet each covers all."""
    return _seen(placed, _grids(placed, side, [(side / 2, side / 2)] * len(placed)))


def lay(placed: Sequence[Placed], canvas: Tensor, generator: torch.Generator) -> None:
    """Lays sheets onto pictures ``[N, 3, side, side]``, in place, the large ones first."""
    side = canvas.shape[-1]
    groups: dict[int, list[Placed]] = defaultdict(list)
    for one in placed:
        left, top, right, bottom = one.bounds
        if right > 0 and bottom > 0 and left < side and top < side:
            needed = max(right - left, bottom - top) + 2
            groups[next((patch for patch in _PATCHES if needed <= patch < side), side)].append(one)
    for patch in sorted(groups, reverse=True):
        group = groups[patch]
        # What needs the most room is laid in the whole picture.
        corners = [
            (0, 0) if patch == side else (round(one.at[0] - patch / 2), round(one.at[1] - patch / 2)) for one in group
        ]
        grids = _grids(group, patch, [(left + patch / 2, top + patch / 2) for left, top in corners])
        pictures = exposed(_seen(group, grids), generator, 0.6)
        masks = _masks(group, grids)
        for one, (left, top), picture, mask in zip(group, corners, pictures, masks, strict=True):
            first_row, last_row = max(0, -top), min(patch, side - top)
            first_column, last_column = max(0, -left), min(patch, side - left)
            rows, columns = slice(first_row, last_row), slice(first_column, last_column)
            under = canvas[one.picture, :, top + first_row : top + last_row, left + first_column : left + last_column]
            under.lerp_(picture[:, rows, columns], mask[None, rows, columns])


def _grids(placed: Sequence[Placed], patch: int, centres: Sequence[tuple[float, float]]) -> Tensor:
    """``[M, patch, patch, 2]``: which points of the sheets the pixels of squares around ``centres`` show."""
    device = next(iter(placed[0].sheets.levels.values())).device
    views = torch.tensor([one.view(centre, patch) for one, centre in zip(placed, centres, strict=True)], device=device)
    return F.affine_grid(views, [len(placed), 1, patch, patch], False)


def _seen(placed: Sequence[Placed], grids: Tensor) -> Tensor:
    """``[M, 3, patch, patch]``: what squares of pictures show of the sheets that lie on them."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, one in enumerate(placed):
        # No more than 1.4 times as fine as the picture, so that bilinear reading skips no pixel.
        groups[id(one.sheets), one.sheets.level_for(2 * one.half / (1.41 * one.coarser))].append(number)
    seen = grids.new_empty(len(placed), 3, *grids.shape[1:3])
    for (_, level), numbers in groups.items():
        sheets = placed[numbers[0]].sheets
        pictures = sheets.levels[level][[placed[number].index for number in numbers]].float() / 255
        seen[numbers] = F.grid_sample(pictures, grids[numbers], "bilinear", "border", align_corners=False)
    coloured = [number for number, one in enumerate(placed) if one.colour is not None]
    if coloured:
        colours = seen.new_tensor([placed[number].colour for number in coloured])
        seen[coloured] = seen[coloured].lerp(colours[..., None, None], _OPACITY)
    toned = [number for number, one in enumerate(placed) if one.grey]
    if toned:
        seen[toned] = grey(seen[toned])
    return seen


def _masks(placed: Sequence[Placed], grids: Tensor) -> Tensor:
    """``[M, patch, patch]``: 1 where a sheet covers the picture, 0 where it does not."""
    rows = [[*one.focus, *one.reach, one.softness, float(one.round_)] for one in placed]
    table = grids.new_tensor(rows)[:, None, None]
    away = ((grids - table[..., :2]) / table[..., 2:4]).abs()
    distance = torch.where(table[..., 5] > 0, away.square().sum(-1).sqrt(), away.amax(-1))
    return ((1 - distance) / table[..., 4]).clamp(0, 1)
