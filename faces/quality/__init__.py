"""How good the picture of a face is: sharpness, noise, JPEG blocks and exposure, as numbers and as words."""

from __future__ import annotations

from .measuring import FaceQuality, face_qualities
from .words import words

__all__ = ["FaceQuality", "face_qualities", "words"]
