"""Faces as people see them: a drawing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing import draw_faces
from ..faces.face import Faces, resized

# A preview is for looking at: no larger than a node is ever shown, and not a whole video of it.
_PREVIEW_SIDE = 1024
_PREVIEW_FRAMES = 8


def drawing(frames: Tensor, faces: Faces) -> Tensor:
    """The first few frames ``[B, H, W, C]``, shrunk to a preview, with boxes, outlines, landmarks and scores.

    Returns:
        ``[at most 8, h, w, 3]`` with a longer side of at most 1024 pixels.
    """
    scale = min(1.0, _PREVIEW_SIDE / max(faces.width, faces.height))
    size = max(1, round(faces.height * scale)), max(1, round(faces.width * scale))
    some = frames[:_PREVIEW_FRAMES, ..., :3].movedim(-1, 1)
    shown = F.interpolate(some, size=size, mode="bilinear", antialias=True) if scale < 1 else some
    pictures = [
        draw_faces(picture.movedim(0, -1), [resized(face, scale) for face in found])
        for picture, found in zip(shown, faces.frames, strict=False)
    ]
    return torch.stack(pictures)
