"""Pictures for people: detected faces drawn on their frame, and before beside after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .faces.face import Box, Face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_COLOURS = ((255, 92, 92), (90, 200, 120), (80, 160, 255), (255, 190, 60), (200, 120, 255))
# Pixels between pictures side by side.
_GAP = 8


def draw_faces(frame: Tensor, faces: Sequence[Face], captions: Sequence[str] | None = None) -> Tensor:
    """Boxes, landmarks, numbers in reading order (from 1) and captions on a copy of ``[H, W, 3]`` 0..1.

    They can be read where the picture is as small as a node shows it, as far as there is room beside small faces.

    Args:
        captions: what stands beside the number of each face, in one line or several; by default its score.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray((frame[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().numpy())
    canvas = ImageDraw.Draw(picture)
    side = max(picture.size)
    stroke, line = max(1, round(side / 400)), max(1, round(side / 300))
    colours = [_COLOURS[face.index % len(_COLOURS)] for face in faces]
    for face, colour in zip(faces, colours, strict=True):
        canvas.rectangle(face.box, outline=colour, width=line)
        if face.outline is not None and len(face.outline) > 2:
            canvas.line([*face.outline, face.outline[0]], fill=colour, width=line)
        for x, y in face.landmarks or ():
            canvas.ellipse((x - stroke, y - stroke, x + stroke, y + stroke), fill=colour)
    words = captions or [f"{face.score:.2f}" for face in faces]
    texts = [f"{face.index + 1}  {said}" for face, said in zip(faces, words, strict=True)]
    fonts = [
        _font(text, face.width - 4 * stroke, max(10, 7 * stroke), round(side / 24))
        for text, face in zip(texts, faces, strict=True)
    ]
    bounds = [canvas.textbbox((0, 0), text, font=font) for text, font in zip(texts, fonts, strict=True)]
    sizes = [(right - left + 4 * stroke, bottom - top + 3 * stroke) for left, top, right, bottom in bounds]
    places = place_captions([face.box for face in faces], sizes, picture.width, picture.height)
    for text, font, (left, top, _, _), place, colour in zip(texts, fonts, bounds, places, colours, strict=True):
        canvas.rectangle(place, fill=colour)
        canvas.text((place[0] + 2 * stroke - left, place[1] + stroke - top), text, fill=(0, 0, 0), font=font)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)


def _font(text: str, width: float, least: int, most: int) -> FreeTypeFont | ImageFont:
    """A font in which the longest line of a text has a width, of a size within limits; all in pixels."""
    from PIL.ImageFont import load_default

    font = load_default(size=least)
    longest = max(font.getlength(line) for line in text.splitlines())
    size = min(int(least * width / longest), most)
    return load_default(size=size) if size > least else font


def place_captions(boxes: Sequence[Box], sizes: Sequence[tuple[float, float]], width: int, height: int) -> list[Box]:
    """Where the captions of faces go: above their boxes, or below where that covers less of faces and other captions.

    Args:
        boxes: of the faces, in pixels.
        sizes: width and height of the captions, in pixels.
        width, height: of the picture. What would leave it is moved in as far as it goes.
    """
    placed: list[Box] = []
    for box, (wide, tall) in zip(boxes, sizes, strict=True):
        left = max(min(box[0], width - 1 - wide), 0)
        tops = (max(top, 0) for top in (min(box[1], height) - tall, min(box[3], height - 1 - tall)))
        places = [(left, top, left + wide, top + tall) for top in tops]
        taken = [*boxes, *placed]
        placed.append(min(places, key=lambda place: sum(_overlap(place, other) for other in taken)))
    return placed


def _overlap(one: Box, other: Box) -> float:
    """Pixels that two boxes share."""
    across, down = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return max(across, 0) * max(down, 0)


def side_by_side(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures ``[H, W, 3]`` of one height in a row on white."""
    height = pictures[0].shape[0]
    space = torch.ones(height, _GAP, 3)
    row = [part for picture in pictures for part in (space, picture.float().cpu())]
    return torch.cat(row[1:], dim=1)
