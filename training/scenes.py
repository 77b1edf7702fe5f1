"""A picture with its faces known, and what makes them harder to find: blur, a tight cut, things worn over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from ..faces.face import Box, Point
from .coverings import FaceAxes
from .labels import LabelledFace, Landmarks
from .laying import Colour

_CLOSE = 512
# Bits of a fraction of a pixel that OpenCV is told.
_FRACTION = 4
# A mask as it is worn, along the axes of a face (see :mod:`.coverings`), x from the middle of the head in half widths
# of it: its right half from the bridge of the nose around the chin, its folds, and the cords to the ears.
_MASK = ((0.0, 0.22), (0.4, 0.35), (0.78, 0.5), (0.72, 1.2), (0.4, 1.85))
_FOLDS = (0.75, 1.0, 1.25)
_CORDS = (((0.78, 0.5), (1.0, 0.1)), ((0.72, 1.2), (1.0, 0.5)))
_MASKS: tuple[Colour, ...] = ((0.72, 0.84, 0.9), (0.93, 0.93, 0.92), (0.12, 0.12, 0.13), (0.75, 0.55, 0.6))
_BLACK: Colour = (0.03, 0.03, 0.03)


@dataclass(frozen=True)
class Scene:
    """A picture and the faces in it.

    Attributes:
        picture: ``[H, W, 3]`` float32, 0..1.
        faces: all faces to be found, with landmarks.
        ignored: boxes of faces that may be found or not.
    """

    picture: Tensor
    faces: tuple[LabelledFace, ...] = ()
    ignored: tuple[Box, ...] = ()


def blurred(scene: Scene, share: float) -> Scene:
    """The picture blurred as much everywhere as the first face in it: by a Gaussian of that share of its height."""
    _, top, _, bottom = scene.faces[0].box
    deviation = share * (bottom - top)
    reach = 2 * math.ceil(3 * deviation) + 1
    # Rows, then columns: torchvision would go through all pixels of a square.
    rows = gaussian_blur(scene.picture.permute(2, 0, 1), [reach, 1], [deviation, deviation])
    picture = gaussian_blur(rows, [1, reach], [deviation, deviation])
    return replace(scene, picture=picture.permute(1, 2, 0))


def cut_close(scene: Scene, share: float) -> Scene:
    """Nothing but the first face, that share of its box lost at every side, with a longer side of 512 pixels."""
    face = scene.faces[0]
    corners = torch.tensor(face.box).reshape(2, 2)
    lost = (corners[1] - corners[0]) * share * torch.tensor([[1.0], [-1.0]])
    height, width = scene.picture.shape[:2]
    (left, top), (right, bottom) = (corners + lost).round().int().clamp(min=0).tolist()
    picture = scene.picture[top : min(bottom, height), left : min(right, width)].permute(2, 0, 1)
    scale = _CLOSE / max(picture.shape[1:])
    size = tuple(round(side * scale) for side in picture.shape[1:])
    picture = F.interpolate(picture[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)

    def moved(points: Tensor) -> Tensor:
        return (points - torch.tensor([left, top]) + 0.5) * scale - 0.5

    box, landmarks = moved(corners).reshape(4), moved(torch.tensor(face.landmarks))
    return Scene(picture.permute(1, 2, 0), (LabelledFace(box_of(box), landmarks_of(landmarks), face.found_by),))


def masked(scene: Scene, number: int) -> Scene:
    """With a mask over the nose, the mouth and the chin of the first face, of four colours in turn."""
    colour = _MASKS[number % len(_MASKS)]
    dark = _shaded(colour, 0.8)
    drawing = _Drawing(scene)
    features = drawing.axes.features

    def at(x: float, y: float) -> Point:
        return features.middle + x * features.width, y

    for side in (-1, 1):
        for (x, y), (end, below) in _CORDS:
            drawing.line(at(side * x, y), at(side * end, below), 0.04, dark)
    drawing.polygon([at(x, y) for x, y in _MASK] + [at(-x, y) for x, y in reversed(_MASK)], colour)
    for y in _FOLDS:
        drawing.line(at(-0.7, y), at(0.7, y), 0.03, dark)
    return drawing.scene()


def eyes_barred(scene: Scene) -> Scene:
    """With a black bar over both eyes of the first face."""
    drawing = _Drawing(scene)
    features = drawing.axes.features
    left, right = features.middle / 2 - 0.9 * features.width, features.middle / 2 + 0.9 * features.width
    drawing.polygon([(left, -0.25), (right, -0.25), (right, 0.25), (left, 0.25)], _BLACK)
    return drawing.scene()


def in_dark_glasses(scene: Scene) -> Scene:
    """With round black glasses on the first face."""
    drawing = _Drawing(scene)
    features = drawing.axes.features
    (left, right), wide = sorted(features.eyes), features.width
    for eye in (left, right):
        turns = [2 * math.pi * step / 40 for step in range(40)]
        drawing.polygon([(eye[0] + 0.4 * math.cos(one), eye[1] + 0.05 + 0.34 * math.sin(one)) for one in turns], _BLACK)
    for start, end in ((left, right), ((-wide, left[1] - 0.05), left), (right, (wide, right[1] - 0.05))):
        drawing.line(start, end, 0.07, _BLACK)
    return drawing.scene()


def _shaded(colour: Colour, by: float) -> Colour:
    red, green, blue = (by * one for one in colour)
    return red, green, blue


class _Drawing:
    """Draws along the axes of the first face of a picture."""

    def __init__(self, scene: Scene) -> None:
        face = scene.faces[0]
        left, top, right, bottom = face.box
        self._scene = scene
        self.axes = FaceAxes.of(
            torch.tensor(face.landmarks), ((left + right) / 2, (top + bottom) / 2), (right - left) / 2
        )
        self._pixels = scene.picture.mul(255).round().byte().numpy().copy()

    def polygon(self, corners: Sequence[Point], colour: Colour) -> None:
        points = np.array([self._pixel(corner) for corner in corners], np.int32)
        cv2.fillPoly(self._pixels, [points], _levels(colour), cv2.LINE_AA, _FRACTION)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        thickness = max(1, round(width * self.axes.unit))
        cv2.line(self._pixels, self._pixel(start), self._pixel(end), _levels(colour), thickness, cv2.LINE_AA, _FRACTION)

    def scene(self) -> Scene:
        return replace(self._scene, picture=torch.from_numpy(self._pixels).float() / 255)

    def _pixel(self, point: Point) -> tuple[int, int]:
        x, y = self.axes.in_picture(*point)
        return round(x * 2**_FRACTION), round(y * 2**_FRACTION)


def _levels(colour: Colour) -> tuple[float, float, float]:
    return _shaded(colour, 255)


def box_of(sides: Tensor) -> Box:
    """From ``[4]``."""
    left, top, right, bottom = sides.tolist()
    return left, top, right, bottom


def landmarks_of(five: Tensor) -> Landmarks:
    """From ``[5, 2]``."""
    one, two, three, four, last = ((x, y) for x, y in five.tolist())
    return one, two, three, four, last
