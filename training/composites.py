"""Pictures put together from faces and surroundings, with the boxes and landmarks of all faces known exactly.

A picture is a base sheet, with a face or without, onto which further sheets are laid: faces, cut out softly or as
rectangular photographs, at any size and angle; and things that are no face, cut out in the same ways, so that an edge
alone tells nothing. All of it follows from a generator; the pixels are made in batches where the sheets are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.alignment import MIRRORED
from .finish import exposed, finished, grey
from .sheets import Sheets

# Sides of the squares in which sheets are laid: the smallest that holds one is used.
_PATCHES = (24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# Two faces, or a face and another sheet, may share this much of the face's box.
_MOST_HIDDEN = 0.15
# A face of which less than this lies in the picture is neither to be found nor to be missed; so is a smaller one.
_LEAST_SEEN = 0.6
_LEAST_SIZE = 9.0
_TRIES = 8

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Recipe:
    """How pictures are put together.

    Attributes:
        side: of a picture in pixels, a multiple of 32.
        smallest, largest: longer side of the boxes of faces, drawn evenly in its logarithm.
        most_faces: laid onto one picture.
        most_decoys: sheets without a face laid onto one picture.
        scenes: share of pictures whose base shows a face of its own.
        grids: share of pictures with faces in rows and columns, as in an album.
        tilt: standard deviation of the roll of most faces, in degrees.
        rolled: share of faces with a roll anywhere within 60 degrees.
        any_roll: share of faces with any roll.
        finish: whether pictures go through :func:`~.finish.finished`.
    """

    side: int = 320
    smallest: float = 11.0
    largest: float = 300.0
    most_faces: int = 6
    most_decoys: int = 3
    scenes: float = 0.25
    grids: float = 0.12
    tilt: float = 12.0
    rolled: float = 0.3
    any_roll: float = 0.05
    finish: bool = True


@dataclass(frozen=True)
class Truth:
    """The faces of a batch, in pixels from the upper left edge of each picture, filled up to the same number K.

    Attributes:
        boxes: ``[N, K, 4]`` left, top, right, bottom.
        landmarks: ``[N, K, 5, 2]``.
        present: ``[N, K]``: a face to be found.
        ignored: ``[N, K]``: a face that may be found or not.
    """

    boxes: Tensor
    landmarks: Tensor
    present: Tensor
    ignored: Tensor

    def to(self, device: torch.device | str) -> Truth:
        return Truth(*(one.to(device) for one in (self.boxes, self.landmarks, self.present, self.ignored)))


@dataclass(frozen=True)
class Sources:
    """What pictures are made of.

    Attributes:
        faces: to be laid.
        scenes: larger views, each with one face.
        free: views and things without a face.
    """

    faces: Sheets
    scenes: Sheets
    free: Sheets

    def to(self, device: torch.device | str) -> Sources:
        return Sources(self.faces.to(device), self.scenes.to(device), self.free.to(device))


@dataclass(frozen=True)
class _Placed:
    """One sheet on one picture: ``pixel = at + half * turn(mirror(u - focus))`` for a point ``u`` of the sheet.

    Attributes:
        half: pixels of half a side of the sheet.
        focus: the point of the sheet that lies at ``at``.
        reach: half sizes of what is shown around the focus, on the sheet; an ellipse if ``round_``, else a rectangle.
        softness: width of the edge as a share of the reach.
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
        x, y = self._in_picture((left + right) / 2, (top + bottom) / 2)
        # A head is about an ellipse in its box: this is the box of the turned ellipse.
        across = math.hypot(wide * math.cos(self.angle), high * math.sin(self.angle))
        along = math.hypot(wide * math.sin(self.angle), high * math.cos(self.angle))
        return x - across, y - along, x + across, y + along

    def landmarks(self) -> Tensor:
        """``[5, 2]``: those of its face in the picture."""
        five = [self._in_picture(u, v) for u, v in self.sheets.landmarks[self.index].tolist()]
        return torch.tensor([five[index] for index in MIRRORED] if self.mirrored else five)

    def _in_picture(self, u: float, v: float) -> tuple[float, float]:
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


def composites(sources: Sources, recipe: Recipe, count: int, generator: torch.Generator) -> tuple[Tensor, Truth]:
    """``count`` pictures ``[count, 3, side, side]`` float32 0..1 where the sheets are, and their faces on the CPU."""
    random = Random(int(torch.randint(2**62, (), generator=generator)))  # noqa: S311
    device = next(iter(sources.faces.levels.values())).device
    own = torch.Generator(device).manual_seed(random.getrandbits(62))
    layouts = [_layout(number, sources, recipe, random) for number in range(count)]
    bases = [layout[0] for layout in layouts]
    canvas = _seen(bases, _grids(bases, recipe.side, [(recipe.side / 2, recipe.side / 2)] * count))
    _lay([placed for layout in layouts for placed in layout[1:]], canvas, generator)
    if recipe.finish:
        canvas = finished(canvas, generator, own)
    return canvas, _truth(layouts, recipe.side)


def _layout(number: int, sources: Sources, recipe: Recipe, random: Random) -> list[_Placed]:
    """What lies on one picture, the base first."""
    if random.random() < recipe.grids:
        return [_base(number, sources.free, recipe, random), *_grid(number, sources, recipe, random)]
    base = _base(number, sources.scenes if random.random() < recipe.scenes else sources.free, recipe, random)
    layout = [base]
    own = base.face()
    taken: list[Bounds] = []
    faces = [own] if own else []
    kinds = [True] * random.randint(0, recipe.most_faces) + [False] * random.randint(0, recipe.most_decoys)
    for is_face in kinds:
        for _ in range(_TRIES):
            placed = (_face if is_face else _decoy)(number, sources, recipe, random)
            face = placed.face()
            hides = any(_share(one, placed.bounds) > _MOST_HIDDEN for one in faces)
            hidden = face is not None and any(_share(face, one) > _MOST_HIDDEN for one in taken)
            if not hides and not hidden:
                layout.append(placed)
                taken.append(placed.bounds)
                faces += [face] if face else []
                break
    return layout


def _base(number: int, sheets: Sheets, recipe: Recipe, random: Random) -> _Placed:
    """A sheet that covers the whole picture, enlarged by up to twice."""
    half = recipe.side / 2 * 2 ** random.random()
    room = half - recipe.side / 2
    at = recipe.side / 2 + random.uniform(-room, room), recipe.side / 2 + random.uniform(-room, room)
    mirrored = random.random() < 0.5
    return _Placed(number, sheets, random.randrange(len(sheets)), at, half, mirrored=mirrored)


def _face(number: int, sources: Sources, recipe: Recipe, random: Random) -> _Placed:
    sheets = sources.faces
    index = random.randrange(len(sheets))
    left, top, right, bottom = sheets.boxes[index].tolist()
    wide, high = (right - left) / 2, (bottom - top) / 2
    size = recipe.smallest * (min(recipe.largest, 0.9 * recipe.side) / recipe.smallest) ** random.random()
    half = size / (2 * max(wide, high))
    at = random.uniform(0, recipe.side), random.uniform(0, recipe.side)
    round_ = random.random() < 0.6
    grow = random.uniform(1.05, 1.6)
    return _Placed(
        number,
        sheets,
        index,
        at,
        half,
        _roll(recipe, random),
        random.random() < 0.5,
        ((left + right) / 2, (top + bottom) / 2) if round_ else (0.0, 0.0),
        (wide * grow, high * grow) if round_ else (1.0, 1.0),
        round_,
        random.uniform(0.02, 0.35) if round_ else random.uniform(0.005, 0.1),
        2 if random.random() < 0.2 else 1,
        random.random() < 0.15,
    )


def _decoy(number: int, sources: Sources, recipe: Recipe, random: Random) -> _Placed:
    sheets = sources.free
    half = 12 * (0.3 * recipe.side / 12) ** random.random()
    at = random.uniform(0, recipe.side), random.uniform(0, recipe.side)
    reach = random.uniform(0.5, 1), random.uniform(0.5, 1)
    return _Placed(
        number,
        sheets,
        random.randrange(len(sheets)),
        at,
        half,
        _roll(recipe, random),
        random.random() < 0.5,
        (0.0, 0.0),
        reach,
        random.random() < 0.6,
        random.uniform(0.01, 0.35),
        2 if random.random() < 0.2 else 1,
        random.random() < 0.15,
    )


def _grid(number: int, sources: Sources, recipe: Recipe, random: Random) -> list[_Placed]:
    """Upright rectangular sheets in rows and columns, nine in ten with a face."""
    columns = random.randint(2, max(2, min(6, recipe.side // 48)))
    cell = recipe.side / columns
    half = cell / 2 * random.uniform(0.8, 1)
    placed = []
    for row in range(columns):
        for column in range(columns):
            sheets = sources.faces if random.random() < 0.9 else sources.free
            at = (column + 0.5) * cell, (row + 0.5) * cell
            placed.append(
                _Placed(number, sheets, random.randrange(len(sheets)), at, half, mirrored=random.random() < 0.5)
            )
    return placed


def _roll(recipe: Recipe, random: Random) -> float:
    """Radians."""
    kind = random.random()
    if kind < recipe.any_roll:
        return random.uniform(-math.pi, math.pi)
    if kind < recipe.any_roll + recipe.rolled:
        return math.radians(random.uniform(-60, 60))
    return math.radians(random.gauss(0, recipe.tilt))


def _share(box: Bounds, other: Bounds) -> float:
    """How much of ``box`` lies in ``other``."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(width, 0.0) * max(height, 0.0) / ((box[2] - box[0]) * (box[3] - box[1]))


def _lay(placed: Sequence[_Placed], canvas: Tensor, generator: torch.Generator) -> None:
    """Lays sheets onto pictures ``[N, 3, side, side]``, in place, the large ones first."""
    side = canvas.shape[-1]
    groups: dict[int, list[_Placed]] = defaultdict(list)
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


def _grids(placed: Sequence[_Placed], patch: int, centres: Sequence[tuple[float, float]]) -> Tensor:
    """``[M, patch, patch, 2]``: which points of the sheets the pixels of squares around ``centres`` show."""
    device = next(iter(placed[0].sheets.levels.values())).device
    views = torch.tensor([one.view(centre, patch) for one, centre in zip(placed, centres, strict=True)], device=device)
    return F.affine_grid(views, [len(placed), 1, patch, patch], False)


def _seen(placed: Sequence[_Placed], grids: Tensor) -> Tensor:
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
    toned = [number for number, one in enumerate(placed) if one.grey]
    if toned:
        seen[toned] = grey(seen[toned])
    return seen


def _masks(placed: Sequence[_Placed], grids: Tensor) -> Tensor:
    """``[M, patch, patch]``: 1 where a sheet covers the picture, 0 where it does not."""
    rows = [[*one.focus, *one.reach, one.softness, float(one.round_)] for one in placed]
    table = grids.new_tensor(rows)[:, None, None]
    away = ((grids - table[..., :2]) / table[..., 2:4]).abs()
    distance = torch.where(table[..., 5] > 0, away.square().sum(-1).sqrt(), away.amax(-1))
    return ((1 - distance) / table[..., 4]).clamp(0, 1)


def _truth(layouts: Sequence[Sequence[_Placed]], side: int) -> Truth:
    faces = [[(box, placed) for placed in layout if (box := placed.face()) is not None] for layout in layouts]
    most = max(1, *map(len, faces))
    boxes = torch.zeros(len(faces), most, 4)
    landmarks = torch.zeros(len(faces), most, 5, 2)
    present = torch.zeros(len(faces), most, dtype=torch.bool)
    ignored = torch.zeros(len(faces), most, dtype=torch.bool)
    whole = (0.0, 0.0, float(side), float(side))
    for row, some in enumerate(faces):
        for column, (box, placed) in enumerate(some):
            seen = _share(box, whole)
            if seen == 0:
                continue
            boxes[row, column] = torch.tensor(box)
            landmarks[row, column] = placed.landmarks()
            counts = seen >= _LEAST_SEEN and max(box[2] - box[0], box[3] - box[1]) >= _LEAST_SIZE
            present[row, column] = counts
            ignored[row, column] = not counts
    return Truth(boxes, landmarks, present, ignored)
