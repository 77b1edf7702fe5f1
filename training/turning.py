"""Heads turned to the side, made from pictures of heads that look into the camera.

Nearly all faces of the training data do, and a network that has seen no other puts the nose of a turned head where a
straight one has it. As in Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", 2016, pictures are turned as
reliefs; the relief here is one for all, a bowl with a nose.

Places in a head are in distances of the eyes from the middle between them, x to the right, y down, z to the camera.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.alignment import FFHQ
from ..faces.geometry import apply, fit_similarity, invert
from .pictures import generator_of
from .sheets import Sheets, with_levels

# Half sizes of the bowl, about those of a head whose eyes are 63 mm apart: 150 mm wide, its ears 95 mm behind its brow.
_WIDE, _HIGH, _DEEP = 1.2, 1.9, 1.5
_MIDDLE = 0.1
# The nose: where it begins, its tip, how far it stands out, and half its width.
_BRIDGE, _TIP, _NOSE, _NOSE_WIDTH = 0.05, 0.6, 0.38, 0.16
_BELOW_TIP = 0.1
# What lies at this depth, as the middle of the face does, stays where it is when a head turns.
_AXIS = 1.35
# What a table of places reaches to, and its steps to either side.
_REACH, _STEPS = 4.0, 64
_FINE = 8
_ANGLES = 8
# A head whose nose is this far from the middle is turned that way already, and is turned further.
_TURNED = 0.04
# How far the nose of a head in profile is from the line from between the eyes to the middle of the mouth, over its
# length: about from 50 degrees on; which of the portraits those are was looked at.
_PROFILE = 0.37


def relief(x: Tensor, y: Tensor) -> Tensor:
    """How far the surface of a head lies before the plane of its ears; 0 beside it."""
    bowl = _DEEP * (1 - (x / _WIDE).square() - ((y - _MIDDLE) / _HIGH).pow(4)).clamp(min=0).sqrt()
    ridge = ((y - _BRIDGE) / (_TIP - _BRIDGE)).clamp(0, 1) * (-((y - _TIP).clamp(min=0) / _BELOW_TIP).square()).exp()
    return bowl + _NOSE * ridge * (-(x / _NOSE_WIDTH).square() / 2).exp()


def turned_points(points: Tensor, angle: float) -> Tensor:
    """Where points ``[..., 2]`` of the surface are seen after the head has turned right by ``angle`` (radians)."""
    x, y = points.unbind(-1)
    return torch.stack((x * math.cos(angle) + (relief(x, y) - _AXIS) * math.sin(angle), y), -1)


def shown_places(angle: float) -> Tensor:
    """``[S, S]``: the x that is seen at each place of a turned head, rows and columns from -4 to 4.

    What another part hides is left out; what the picture does not show is stretched from beside it.
    """
    rows = torch.linspace(-_REACH, _REACH, 2 * _STEPS + 1)
    x = torch.linspace(-2 * _REACH, 2 * _REACH, 4 * _STEPS * _FINE + 1)
    grid = torch.stack((x.expand(len(rows), -1), rows[:, None].expand(-1, len(x))), -1)
    # A head that turns right shows its left side: from there on, what lies behind what was seen already is hidden.
    seen = turned_points(grid, abs(angle))[..., 0].cummax(1).values.contiguous()
    place = torch.searchsorted(seen, rows.expand(len(rows), -1).contiguous()).clamp(max=len(x) - 1)
    return x[place] if angle >= 0 else -x[place].flip(1)


def turned(sheets: Sheets, most: float, seed: int) -> Sheets:
    """The faces of sheets, each turned to the left or the right by up to ``most`` degrees.

    Args:
        sheets: with a face each.
    """
    side = max(sheets.levels)
    angles = [sign * math.radians(most) * (step + 1) / _ANGLES for step in range(_ANGLES) for sign in (-1, 1)]
    tables = [shown_places(angle) for angle in angles]
    places = (torch.arange(side) + 0.5) * 2 / side - 1
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)
    made, boxes, landmarks = [], [], []
    for picture, box, five, number in zip(
        sheets.levels[side], sheets.boxes, sheets.landmarks.double(), _drawn(sheets, seed), strict=True
    ):
        to_sheet = head_to_sheet(five)
        to_head = invert(to_sheet)
        head = apply(to_head.float(), grid)
        there = torch.stack((_read(tables[number][None], head / _REACH, True)[0], head[..., 1]), -1)
        made.append(_read(picture.float(), apply(to_sheet.float(), there), False).round_().byte())
        landmarks.append(apply(to_sheet, turned_points(apply(to_head, five), angles[number])).float())
        boxes.append(_turned_box(box, to_head, to_sheet, angles[number]))
    return Sheets(with_levels(torch.stack(made)), torch.stack(boxes), torch.stack(landmarks))


def _drawn(sheets: Sheets, seed: int) -> list[int]:
    """For each face the number of its angle: even ones turn it to the left."""
    steps, sides = torch.randint(_ANGLES, (2, len(sheets)), generator=generator_of(seed, 0))
    numbers = []
    for five, step, drawn in zip(sheets.landmarks.double(), steps.tolist(), sides.tolist(), strict=True):
        nose = float(apply(invert(head_to_sheet(five)), five)[2, 0])
        numbers.append(2 * step + (int(nose > 0) if abs(nose) > _TURNED else drawn % 2))
    return numbers


def in_profile(sheets: Sheets) -> Tensor:
    """``[N]``: whether a head is turned far to the side: its nose is off the axis of the face by this part of it."""
    left_eye, right_eye, nose, *mouth = sheets.landmarks.unbind(1)
    eyes = (left_eye + right_eye) / 2
    axis = (mouth[0] + mouth[1]) / 2 - eyes
    beside = axis[:, 0] * (nose - eyes)[:, 1] - axis[:, 1] * (nose - eyes)[:, 0]
    return beside.abs() / axis.square().sum(1) > _PROFILE


def _read(picture: Tensor, grid: Tensor, corners: bool) -> Tensor:
    """``[C, h, w]`` read from ``[C, H, W]`` at ``[h, w, 2]``."""
    return F.grid_sample(picture[None], grid[None], "bilinear", "border", align_corners=corners)[0]


def head_to_sheet(landmarks: Tensor) -> Tensor:
    """``[2, 3]``: from places in the head to those on the sheet, by least squares over all five."""
    model = torch.tensor(FFHQ.points, dtype=torch.float64)
    middle, eyes = model[:2].mean(0), model[1, 0] - model[0, 0]
    return fit_similarity((model - middle) / eyes, landmarks.double(), math.inf)[0]


def _turned_box(box: Tensor, to_head: Tensor, to_sheet: Tensor, angle: float) -> Tensor:
    """``[4]``: as high as before, as wide as its edges and the tip of the nose now reach."""
    left, top, right, bottom = box.tolist()
    centre = (top + bottom) / 2
    edges = apply(to_head, torch.tensor([[left, centre], [right, centre]], dtype=torch.float64))
    ends = apply(to_sheet, turned_points(torch.cat([edges, edges.new_tensor([[0.0, _TIP]])]), angle))[:, 0]
    return torch.tensor([float(ends.min()), top, float(ends.max()), bottom])
