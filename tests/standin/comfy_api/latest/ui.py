"""A stand-in for what nodes show: it keeps the pictures and the text."""

from __future__ import annotations

from torch import Tensor


class PreviewImage:
    def __init__(self, image: Tensor, cls: type | None = None) -> None:
        self.pictures = image

    def as_dict(self) -> dict:
        return {"images": [{"filename": f"{number}.png"} for number in range(len(self.pictures))]}


class PreviewText:
    def __init__(self, value: str) -> None:
        self.value = value

    def as_dict(self) -> dict:
        return {"text": (self.value,)}
