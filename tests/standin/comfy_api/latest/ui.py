"""A stand-in for previews: it keeps the pictures."""

from __future__ import annotations

from torch import Tensor


class PreviewImage:
    def __init__(self, image: Tensor, cls: type | None = None) -> None:
        self.pictures = image

    def as_dict(self) -> dict:
        return {"images": [{"filename": f"{number}.png"} for number in range(len(self.pictures))]}
