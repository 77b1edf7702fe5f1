"""What hides a part of a face: masks, dark glasses, bars over the eyes, hats, hands, whatever stands before it.

Shapes are given along the axes of a face: the origin lies between the eyes, y points to the middle of the mouth, which
lies at (0, 1), and x to the right of who looks at it. The chin is at about 1.75, the brows at -0.4, an eye at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from .laying import Colour, Placed
from .sheets import Sheets


@dataclass(frozen=True)
class Features:
    """Of a face, along its own axes.

    Attributes:
        middle: x of the middle of the head: far from 0 in profile.
        width: half that of the head.
        eyes: the middle of each.
    """

    middle: float = 0.0
    width: float = 1.15
    eyes: tuple[tuple[float, float], tuple[float, float]] = ((-0.5, 0.0), (0.5, 0.0))


@dataclass(frozen=True)
class Covering:
    """One shape on a face.

    Attributes:
        at: its middle.
        reach: half sizes along its own axes.
        angle: in radians, by which it is turned against the face.
        round_: an ellipse, else a rectangle.
        colour: 0..1; ``None`` shows what some picture shows there.
    """

    at: tuple[float, float]
    reach: tuple[float, float]
    angle: float
    round_: bool
    colour: Colour | None


@dataclass(frozen=True)
class FaceAxes:
    """Where the axes of a face lie in the picture, and what the face in it is like.

    Attributes:
        origin: in pixels.
        angle: in radians.
        unit: in pixels.
        features: of the face.
    """

    origin: tuple[float, float]
    angle: float
    unit: float
    features: Features

    @staticmethod
    def of(landmarks: Tensor, centre: tuple[float, float], width: float) -> FaceAxes:
        """Those of a face.

        Args:
            landmarks: ``[5, 2]`` in pixels.
            centre: of its box, in pixels.
            width: half that of its box, upright along the axes of the face.
        """
        origin, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
        unit = float((mouth - origin).norm())
        down, at = ((mouth - origin) / unit).tolist(), origin.tolist()
        axes = torch.tensor([[down[1], -down[0]], down])
        placed = torch.stack((torch.tensor(centre), *landmarks[:2]))
        middle, *eyes = ((placed - origin) @ axes.T / unit).tolist()
        one, other = ((x, y) for x, y in eyes)
        features = Features(middle[0], width / unit, (one, other))
        return FaceAxes((at[0], at[1]), math.atan2(-down[0], down[1]), unit, features)

    def in_picture(self, x: float, y: float) -> tuple[float, float]:
        cosine, sine = math.cos(self.angle) * self.unit, math.sin(self.angle) * self.unit
        return self.origin[0] + cosine * x - sine * y, self.origin[1] + sine * x + cosine * y


def coverings(placed: Placed, sheets: Sheets, random: Random) -> list[Placed]:
    """Parts of ``sheets`` to be laid over the face of one that was placed, or over its middle if it has none."""
    axes = _axes_of(placed)
    return [_covering(placed, axes, one, sheets, random) for one in _drawn(axes.features, random)]


def _axes_of(placed: Placed) -> FaceAxes:
    """The axes of its face; a sheet without a face has imagined ones in its middle."""
    left, top, right, bottom = placed.sheets.boxes[placed.index].tolist()
    if math.isnan(left):
        return FaceAxes(placed.at, placed.angle, 0.45 * placed.half * max(placed.reach), Features())
    centre = placed.in_picture((left + right) / 2, (top + bottom) / 2)
    return FaceAxes.of(placed.landmarks(), centre, (right - left) / 2 * placed.half)


def _covering(placed: Placed, axes: FaceAxes, covering: Covering, sheets: Sheets, random: Random) -> Placed:
    """A part of some sheet in the place of a covering, so that it has folds and a texture."""
    wide, high = (one * axes.unit for one in covering.reach)
    half = max(wide, high) * random.uniform(1.0, 3.0)
    return Placed(
        placed.picture,
        sheets,
        random.randrange(len(sheets)),
        axes.in_picture(*covering.at),
        half,
        axes.angle + covering.angle,
        random.random() < 0.5,
        (0.0, 0.0),
        (wide / half, high / half),
        covering.round_,
        random.uniform(0.02, 0.25),
        4 if random.random() < 0.5 else 1,
        placed.grey,
        covering.colour,
    )


def _drawn(features: Features, random: Random) -> list[Covering]:
    """One kind of covering, at random: most often a mask, then eyes hidden, then anything anywhere."""
    kinds = (_mask, _bar, _glasses, _hat, _beside, _anything)
    return random.choices(kinds, (5, 2, 2, 1, 1.5, 3))[0](features, random)


def _mask(features: Features, random: Random) -> list[Covering]:
    """From the nose, or the lips, to below the chin."""
    top, bottom = random.uniform(0.15, 0.75), random.uniform(1.4, 2.1)
    at = features.middle + random.gauss(0, 0.08), (top + bottom) / 2
    round_ = random.random() < 0.6
    wide = features.width * (random.uniform(0.85, 1.25) if round_ else random.uniform(0.65, 1.0))
    return [Covering(at, (wide, (bottom - top) / 2), random.gauss(0, 0.08), round_, _colour(random))]


def _bar(features: Features, random: Random) -> list[Covering]:
    """Over both eyes, as in a newspaper, or a blindfold."""
    at = features.middle / 2 + random.gauss(0, 0.1), random.gauss(0, 0.08)
    reach = features.width * random.uniform(0.65, 1.3), random.uniform(0.15, 0.4)
    level = random.uniform(0, 0.15)
    colour = (level, level, level) if random.random() < 0.5 else _colour(random)
    return [Covering(at, reach, random.gauss(0, 0.08), random.random() < 0.15, colour)]


def _glasses(features: Features, random: Random) -> list[Covering]:
    """Dark ones."""
    red, green, blue = (random.uniform(0, 0.2) for _ in range(3))
    reach = random.uniform(0.28, 0.48), random.uniform(0.2, 0.4)
    down, angle, round_ = random.gauss(0.05, 0.04), random.gauss(0, 0.05), random.random() < 0.7
    return [Covering((x, y + down), reach, angle, round_, (red, green, blue)) for x, y in features.eyes]


def _hat(features: Features, random: Random) -> list[Covering]:
    """All above the brows, or to the eyes' lids."""
    top, bottom = -2.4, random.uniform(-0.6, -0.15)
    reach = features.width * random.uniform(1.0, 1.4), (bottom - top) / 2
    at = features.middle, (top + bottom) / 2
    return [Covering(at, reach, random.gauss(0, 0.12), random.random() < 0.3, _colour(random))]


def _beside(features: Features, random: Random) -> list[Covering]:
    """One side of the face, up to a little beyond the nose: a door, a shoulder, hair."""
    side = random.choice((-1, 1))
    wide = features.width * random.uniform(0.5, 0.9)
    x = features.middle + side * (wide + features.width * random.uniform(-0.1, 0.5))
    return [Covering((x, random.uniform(-0.3, 0.8)), (wide, 2.4), random.gauss(0, 0.25), False, _colour(random))]


def _anything(features: Features, random: Random) -> list[Covering]:
    """Hands, microphones, flowers: up to a third of the face."""
    at = features.middle + features.width * random.uniform(-0.9, 0.9), random.uniform(-0.6, 1.7)
    reach = random.uniform(0.2, 0.7), random.uniform(0.2, 0.7)
    return [Covering(at, reach, random.uniform(-math.pi, math.pi), random.random() < 0.6, _colour(random))]


def _colour(random: Random) -> Colour | None:
    """Of cloth, paper, skin, or of a picture."""
    kind = random.random()
    if kind < 0.3:
        return None
    if kind < 0.6:
        level = random.random()
        red, green, blue = (min(1.0, max(0.0, level + random.gauss(0, 0.04))) for _ in range(3))
        return red, green, blue
    if kind < 0.8:
        return random.random(), random.random(), random.random()
    red = random.uniform(0.3, 1.0)
    green = red * random.uniform(0.55, 0.85)
    return red, green, green * random.uniform(0.65, 0.95)
