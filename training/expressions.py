"""Faces with other expressions, made by bending pictures of faces around their landmarks.

Most people of the training data keep their mouths closed or smile a little, all at about one place below the nose, and
a network that has seen no others puts the corners of a wide smile too far inside. Pictures are bent smoothly so that
each landmark goes where it is told; between them displacements are interpolated with radial basis functions (Arad et
al., "Image Warping by Radial Basis Functions: Application to Facial Expressions", 1994).

Places in a head are those of :mod:`.turning`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.geometry import apply, invert
from .pictures import generator_of
from .sheets import Sheets, with_levels
from .turning import head_to_sheet

# How far a displacement is felt.
_FELT = 0.4
# Standard deviations by which an eye and the nose are moved.
_EYE, _NOSE = 0.03, 0.05
# Bounds of: how far each corner of the mouth goes outward and down, the whole mouth down, a corner on its own (standard
# deviation).
_WIDER, _LOWER, _MOUTH, _ALONE = (-0.10, 0.20), (-0.12, 0.08), (-0.12, 0.12), 0.03
# One mouth in how many is opened, bounds of how far, and the share of it by which the chin goes down.
_OPENED, _OPENING, _CHIN = 3, (0.1, 0.45), 0.8
# Middles of the lips above and below the line between the corners.
_UPPER, _LOWER_LIP = 0.05, 0.10
# An opened mouth: its inside takes up this share of what is between the corners; light that is left in it; teeth reach
# down to this share of the opening.
_INSIDE, _LIGHT, _TEETH = 0.8, (0.1, 0.6), (0.0, 0.4)


@dataclass(frozen=True)
class Mouth:
    """The inside of an opened mouth, an ellipse.

    Attributes:
        centre, half: of the ellipse, its axes those of the head.
        light: share of the light that is left inside.
        teeth: share of its height, from above, that stays as it is.
    """

    centre: tuple[float, float]
    half: tuple[float, float]
    light: float
    teeth: float


def bent(points: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Where ``points`` ``[..., 2]`` go when ``before`` ``[P, 2]`` goes to ``after`` and what is far away stays."""
    weights: Tensor = torch.linalg.solve(_felt(before, before), after - before)
    return points + (_felt(points.reshape(-1, 2), before) @ weights).reshape(points.shape)


def _felt(points: Tensor, others: Tensor) -> Tensor:
    """``[N, P]``: Matérn's kernel of order 3/2, which is smooth and well conditioned."""
    far = torch.cdist(points, others) * (math.sqrt(3) / _FELT)
    return (1 + far) * (-far).exp()


def with_expressions(sheets: Sheets, seed: int) -> Sheets:
    """The faces of sheets, each with another expression.

    Args:
        sheets: with a face each.
    """
    side = max(sheets.levels)
    places = (torch.arange(side) + 0.5) * 2 / side - 1
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)
    made, boxes, landmarks = [], [], []
    for index, (picture, box, five) in enumerate(
        zip(sheets.levels[side], sheets.boxes, sheets.landmarks.double(), strict=True)
    ):
        to_sheet = head_to_sheet(five)
        to_head = invert(to_sheet)
        chin = torch.stack(((box[0] + box[2]) / 2, box[3])).double()
        before = _control_points(apply(to_head, five), apply(to_head, chin[None]))
        after, mouth = _drawn(before, generator_of(seed, index))
        head = apply(to_head.float(), grid)
        shown = bent(head, after.float(), before.float())
        read = F.grid_sample(
            picture.float()[None], apply(to_sheet.float(), shown)[None], "bilinear", "border", align_corners=False
        )[0]
        if mouth is not None:
            read = read * _light(head, mouth)
        made.append(read.round_().clamp_(0, 255).byte())
        moved = apply(to_sheet, after).float()
        boxes.append(torch.cat([box[:3], moved[7, 1:].clamp(max=1.0)]))
        landmarks.append(moved[:5])
    return Sheets(with_levels(torch.stack(made)), torch.stack(boxes), torch.stack(landmarks))


def _control_points(five: Tensor, chin: Tensor) -> Tensor:
    """``[8, 2]``: the landmarks, the middles of both lips, the chin."""
    middle = five[3:].mean(0, keepdim=True)
    lips = middle + middle.new_tensor([[0.0, -_UPPER], [0.0, _LOWER_LIP]])
    return torch.cat([five, lips, chin])


def _drawn(before: Tensor, generator: torch.Generator) -> tuple[Tensor, Mouth | None]:
    """Where the control points go, and the mouth if it is opened."""

    def between(bounds: tuple[float, float]) -> float:
        return bounds[0] + (bounds[1] - bounds[0]) * float(torch.rand((), generator=generator))

    by = torch.randn(8, 2, generator=generator, dtype=before.dtype)
    by *= before.new_tensor([_EYE, _EYE, _NOSE, _ALONE, _ALONE, 0, 0, 0])[:, None]
    wider, lower, mouth = between(_WIDER), between(_LOWER), between(_MOUTH)
    by[3:5] += by.new_tensor([[-wider, lower], [wider, lower]])
    by[3:, 1] += mouth
    opened = int(torch.randint(_OPENED, (), generator=generator)) == 0
    opening = between(_OPENING) if opened else 0.0
    by[6:, 1] += by.new_tensor([opening, _CHIN * opening])
    after = before + by
    if not opened:
        return after, None
    top, bottom = float(after[5, 1]) + _UPPER, float(after[6, 1]) - _LOWER_LIP / 2
    x, y = float(after[5:7, 0].mean()), (top + bottom) / 2
    wide = _INSIDE * float((after[4] - after[3]).norm()) / 2
    return after, Mouth((x, y), (wide, (bottom - top) / 2), between(_LIGHT), between(_TEETH))


def _light(head: Tensor, mouth: Mouth) -> Tensor:
    """``[h, w]``: the share of the light that places ``[h, w, 2]`` in the head keep."""
    across, along = ((head - head.new_tensor(mouth.centre)) / head.new_tensor(mouth.half)).unbind(-1)
    inside = (3 * (1 - (across.square() + along.square()).sqrt())).clamp(0, 1)
    below_teeth = (4 * ((along + 1) / 2 - mouth.teeth)).clamp(0, 1)
    return 1 - (1 - mouth.light) * inside * below_teeth
