"""What was done to a face, and why nothing was done to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..faces.face import Face


@dataclass(frozen=True)
class Outcome:
    """What was done to one face.

    Attributes:
        reason: why it was skipped; else ``None``.
        enlargement: pixels of the crop that was worked on per pixel of the frame; below 1 the frame holds more detail
            than the crop can.
        prompt, seed, denoise: what a refined face was painted with; "" for the model's own prompt, ``None`` for a
            denoise that did not act because noise levels were given.
        remark: what else there is to say.
    """

    face: Face
    action: Literal["restored", "refined", "skipped"]
    reason: str | None = None
    enlargement: float | None = None
    prompt: str | None = None
    seed: int | None = None
    denoise: float | None = None
    remark: str | None = None
