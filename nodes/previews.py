"""Previews: frames shrunk for showing, with faces or masks drawn on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing import draw_faces
from ..faces.face import Faces, resized

# A preview is for looking at: no larger than a node is ever shown, and not a whole video of it.
_PREVIEW_SIDE = 1024
PREVIEW_FRAMES = 8
# Of a mask on a picture.
_TINT, _TINT_SHARE = (1.0, 0.1, 0.1), 0.5


def preview(frames: Tensor) -> Tensor:
    """The first few frames ``[B, H, W, C]``, shrunk: ``[at most 8, h, w, 3]``, a longer side of at most 1024 pixels."""
    height, width = frames.shape[1:3]
    scale = _scale(width, height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    some = frames[:PREVIEW_FRAMES, ..., :3].movedim(-1, 1)
    return (F.interpolate(some, size=size, mode="bilinear", antialias=True) if scale < 1 else some).movedim(1, -1)


def before_and_after(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """The :func:`preview` of frames ``after``, and those ``before`` at the same size, whatever size they have."""
    shown = preview(after)
    given = before[:PREVIEW_FRAMES, ..., :3].movedim(-1, 1)
    same = F.interpolate(given, size=shown.shape[1:3], mode="bilinear", antialias=True)
    return same.movedim(1, -1).to(shown.device), shown


def drawing(frames: Tensor, faces: Faces) -> Tensor:
    """The :func:`preview` of frames with boxes, outlines, landmarks and scores."""
    scale = _scale(faces.width, faces.height)
    pictures = [
        draw_faces(picture, [resized(face, scale) for face in found])
        for picture, found in zip(preview(frames), faces.frames, strict=False)
    ]
    return torch.stack(pictures)


def tinted(frames: Tensor, mask: Tensor) -> Tensor:
    """The :func:`preview` of frames, red where a mask ``[B, H, W]`` of theirs is white."""
    shown, share = preview(frames), _TINT_SHARE * preview(mask[..., None])
    return shown.lerp(shown.new_tensor(_TINT).expand_as(shown), share)


def _scale(width: int, height: int) -> float:
    return min(1.0, _PREVIEW_SIDE / max(width, height))
