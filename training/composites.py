"""Pictures put together from faces and surroundings, with the boxes and landmarks of all faces known exactly.

A picture is a base sheet, with a face or without, onto which further sheets are laid: faces, cut out softly or as
rectangular photographs, at any size and angle; and things that are no face, cut out in the same ways, so that an edge
alone tells nothing. All of it follows from a generator; the pixels are made in batches where the sheets are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from .coverings import coverings
from .finish import finished
from .laying import Bounds, Placed, bases, lay
from .sheets import Sheets

# Two faces, or a face and another sheet, may share this much of the face's box.
_MOST_HIDDEN = 0.15
# A face of which less than this lies in the picture is neither to be found nor to be missed; so is a smaller one.
_LEAST_SEEN = 0.6
_LEAST_SIZE = 9.0
_TRIES = 8


@dataclass(frozen=True)
class CompositeRecipe:
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
        covered: share of faces, and of what is none, with something over a part of them, see :mod:`.coverings`.
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
    covered: float = 0.0
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


def composites(
    sources: Sources, recipe: CompositeRecipe, count: int, generator: torch.Generator
) -> tuple[Tensor, Truth]:
    """``count`` pictures ``[count, 3, side, side]`` float32 0..1 where the sheets are, and their faces on the CPU."""
    random = Random(int(torch.randint(2**62, (), generator=generator)))  # noqa: S311
    device = next(iter(sources.faces.levels.values())).device
    own = torch.Generator(device).manual_seed(random.getrandbits(62))
    layouts = [_layout(number, sources, recipe, random) for number in range(count)]
    canvas = bases([layout[0] for layout in layouts], recipe.side)
    lay([placed for layout in layouts for placed in layout[1:]], canvas, generator)
    lay([over for layout in layouts for over in _coverings(layout, sources, recipe, random)], canvas, generator)
    if recipe.finish:
        canvas = finished(canvas, generator, own)
    return canvas, _truth(layouts, recipe.side)


def _layout(number: int, sources: Sources, recipe: CompositeRecipe, random: Random) -> list[Placed]:
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


def _base(number: int, sheets: Sheets, recipe: CompositeRecipe, random: Random) -> Placed:
    """A sheet that covers the whole picture, enlarged by up to twice."""
    half = recipe.side / 2 * 2 ** random.random()
    room = half - recipe.side / 2
    at = recipe.side / 2 + random.uniform(-room, room), recipe.side / 2 + random.uniform(-room, room)
    mirrored = random.random() < 0.5
    return Placed(number, sheets, random.randrange(len(sheets)), at, half, mirrored=mirrored)


def _face(number: int, sources: Sources, recipe: CompositeRecipe, random: Random) -> Placed:
    sheets = sources.faces
    index = random.randrange(len(sheets))
    left, top, right, bottom = sheets.boxes[index].tolist()
    wide, high = (right - left) / 2, (bottom - top) / 2
    size = recipe.smallest * (min(recipe.largest, 0.9 * recipe.side) / recipe.smallest) ** random.random()
    half = size / (2 * max(wide, high))
    at = random.uniform(0, recipe.side), random.uniform(0, recipe.side)
    round_ = random.random() < 0.6
    grow = random.uniform(1.05, 1.6)
    return Placed(
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


def _decoy(number: int, sources: Sources, recipe: CompositeRecipe, random: Random) -> Placed:
    sheets = sources.free
    half = 12 * (0.3 * recipe.side / 12) ** random.random()
    at = random.uniform(0, recipe.side), random.uniform(0, recipe.side)
    reach = random.uniform(0.5, 1), random.uniform(0.5, 1)
    return Placed(
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


def _grid(number: int, sources: Sources, recipe: CompositeRecipe, random: Random) -> list[Placed]:
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
                Placed(number, sheets, random.randrange(len(sheets)), at, half, mirrored=random.random() < 0.5)
            )
    return placed


def _coverings(layout: Sequence[Placed], sources: Sources, recipe: CompositeRecipe, random: Random) -> list[Placed]:
    """What lies over parts of some of the sheets, as long as it hides no other face."""
    # Nothing is drawn where nothing is asked for: pictures without coverings stay what they were.
    chosen = [placed for placed in layout if random.random() < recipe.covered] if recipe.covered else []
    faces = [(placed, face) for placed in layout if (face := placed.face())]
    found = []
    for placed in chosen:
        shapes = coverings(placed, sources.free, random)
        others = [face for owner, face in faces if owner is not placed]
        if not any(_share(face, shape.bounds) > _MOST_HIDDEN for face in others for shape in shapes):
            found += shapes
    return found


def _roll(recipe: CompositeRecipe, random: Random) -> float:
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


def _truth(layouts: Sequence[Sequence[Placed]], side: int) -> Truth:
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
