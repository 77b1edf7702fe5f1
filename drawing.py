"""Pictures for people: detected faces drawn on their frame, and before beside after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .faces.face import Face

_COLOURS = ((255, 92, 92), (90, 200, 120), (80, 160, 255), (255, 190, 60), (200, 120, 255))


def draw_faces(frame: Tensor, faces: Sequence[Face], captions: Sequence[str] | None = None) -> Tensor:
    """Boxes, landmarks, numbers in reading order (from 1) and captions on a copy of ``[H, W, 3]`` 0..1.

    Args:
        captions: what stands beside the number of each face, in one line or several; by default its score.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray((frame[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().numpy())
    canvas = ImageDraw.Draw(picture)
    stroke = max(1, round(max(picture.size) / 400))
    font = ImageFont.load_default(size=max(10, 7 * stroke))
    for face, words in zip(faces, captions or [f"{face.score:.2f}" for face in faces], strict=True):
        colour = _COLOURS[face.index % len(_COLOURS)]
        canvas.rectangle(face.box, outline=colour, width=stroke)
        if face.outline is not None and len(face.outline) > 2:
            canvas.line([*face.outline, face.outline[0]], fill=colour, width=stroke)
        for x, y in face.landmarks or ():
            canvas.ellipse((x - stroke, y - stroke, x + stroke, y + stroke), fill=colour)
        caption = f"{face.index + 1}  {words}"
        left, top, right, bottom = canvas.textbbox((0, 0), caption, font=font)
        wide, tall = right - left + 4 * stroke, bottom - top + 3 * stroke
        # What leaves the picture on the right is moved in as far as it goes.
        x, y = max(min(face.box[0], picture.width - 1 - wide), 0), max(face.box[1] - tall, 0)
        canvas.rectangle((x, y, x + wide, y + tall), fill=colour)
        canvas.text((x + 2 * stroke - left, y + stroke - top), caption, fill=(0, 0, 0), font=font)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)


def side_by_side(pictures: Sequence[Tensor], gap: int = 8) -> Tensor:
    """Pictures ``[H, W, 3]`` of one height in a row on white."""
    height = pictures[0].shape[0]
    space = torch.ones(height, gap, 3)
    row = [part for picture in pictures for part in (space, picture.float().cpu())]
    return torch.cat(row[1:], dim=1)
