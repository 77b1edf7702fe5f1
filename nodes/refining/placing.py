"""What a CONDITIONING says about places in the frame, as a window sees it: control images, areas, masks, boxes.

Everything is done on copies; the objects of the graph stay as they are.
"""

from __future__ import annotations

from typing import Any, Literal

import comfy.utils
import torch
from torch import Tensor

from ...faces.geometry import apply
from ...faces.sampling import view
from ...faces.windows import Window
from .conditions import Conditioning

Fit = Literal["center", "none"]

# Cells that an area spans at the least, as in ComfyUI's own areas around masks.
_LEAST_AREA = 8
# Of the whole frame, from nodes for inpainting. The window brings its own or has none.
_OF_THE_FRAME = ("concat_latent_image", "concat_mask")
_PLACES = ("area", "mask")
# As many as OpenCV warps at once and exactly.
_CHANNELS = 3


class Placing:
    """Takes the conditionings of one repainting to its window. Controls that several share stay shared, as ComfyUI
    samples only those together that have the very same control.

    Args:
        window: where the crop lies.
        cell: pixels per cell of the latent.
    """

    def __init__(self, window: Window, cell: int) -> None:
        self._window = window
        self._cell = cell
        self._controls: dict[int, Any] = {}

    def conditioning(self, given: Conditioning) -> Conditioning:
        """A copy for the window. What refers to places outside it is left out; if nothing else remains, all of it
        applies to the whole window.
        """
        pairs = [(tokens, _without(rest, _OF_THE_FRAME)) for tokens, rest in given]
        placed = [[tokens, here] for tokens, rest in pairs if (here := self._placed(rest)) is not None]
        return placed or [[tokens, self._placed(_without(rest, _PLACES))] for tokens, rest in pairs]

    def planes(self, given: Tensor, fit: Fit = "center") -> Tensor:
        """What the window shows of ``[..., H, W]`` that covers the frame, whatever its size: ``[..., h, w]``.

        Args:
            fit: how ComfyUI fits it to a frame of other proportions: "center" cuts off what is too much, as with
                control images, "none" stretches it, as with masks of prompts.
        """
        window = self._window
        shape = given.shape[:-2]
        flat = given.float().reshape(1, -1, *given.shape[-2:])
        if flat.shape[-2:] != (window.frame_height, window.frame_width):
            shrinks = flat.shape[-1] > window.frame_width
            flat = comfy.utils.common_upscale(
                flat, window.frame_width, window.frame_height, "area" if shrinks else "bilinear", fit
            )
        # Bilinear: signed values and those above 1 stay what they are.
        seen = [
            view(some.movedim(0, -1).contiguous(), window.matrix, window.height, window.width, "bilinear")
            for some in torch.split(flat[0], _CHANNELS)
        ]
        return torch.cat(seen, -1).movedim(-1, 0).reshape(*shape, window.height, window.width).to(given.dtype)

    def _placed(self, rest: dict[str, Any]) -> dict[str, Any] | None:
        here = dict(rest)
        if "area" in here:
            area = self._area(here["area"])
            if area is None:
                return None
            here["area"] = area
        if "mask" in here:
            here["mask"] = self.of_frame(here["mask"].reshape(-1, *here["mask"].shape[-2:]), "none")
            if not bool(here["mask"].any()):
                return None
        if "control" in here:
            here["control"] = self._control(here["control"])
        if "gligen" in here and here["gligen"][0] == "position":
            kind, model, boxes = here["gligen"]
            moved = [
                (words, self._rectangle(height, width, top, left, self._cell))
                for words, height, width, top, left in boxes
            ]
            here["gligen"] = (kind, model, [(words, *box) for words, box in moved if box is not None])
        return here

    def of_frame(self, batch: Tensor, fit: Fit = "center") -> Tensor:
        """``[N, ..., H, W]`` for the frames of a batch, repeated if there are fewer: that of the window's frame, as
        :meth:`planes` has it."""
        chosen = self._window.frame % len(batch)
        return self.planes(batch[chosen : chosen + 1], fit)

    def _control(self, given: Any) -> Any:
        if id(given) not in self._controls:
            own = given.copy()
            if own.cond_hint_original is not None:
                own.cond_hint_original = self.of_frame(own.cond_hint_original)
            # Masks for controls that inpaint. A single number stands for the whole frame.
            own.extra_concat_orig = [
                self.of_frame(planes) if planes.shape[-2:].numel() > 1 else planes for planes in own.extra_concat_orig
            ]
            if given.previous_controlnet is not None:
                own.set_previous_controlnet(self._control(given.previous_controlnet))
            self._controls[id(given)] = own
        return self._controls[id(given)]

    def _area(self, area: tuple[Any, ...]) -> tuple[int, ...] | None:
        """Height, width, top and left in cells of the frame, or as shares of it, to cells of the window."""
        if area[0] != "percentage":
            # Areas in videos have a length in front of the height, which is of no use for a picture.
            half = len(area) // 2
            return self._rectangle(area[half - 2], area[half - 1], area[-2], area[-1], self._cell)
        half = (len(area) - 1) // 2
        height, width, top, left = area[half - 1], area[half], area[-2], area[-1]
        tall, wide = self._window.frame_height, self._window.frame_width
        return self._rectangle(height * tall, width * wide, top * tall, left * wide, 1)

    def _rectangle(self, height: float, width: float, top: float, left: float, unit: int) -> tuple[int, ...] | None:
        """The box around a rectangle of the frame, cut off at the window: height, width, top, left in its cells."""
        across, down = (left * unit - 0.5, (left + width) * unit - 0.5), (top * unit - 0.5, (top + height) * unit - 0.5)
        corners = torch.tensor([(x, y) for x in across for y in down], dtype=torch.float64)
        edges = (apply(self._window.matrix, corners) + 0.5) / self._cell
        spans = []
        for axis, side in ((1, self._window.height // self._cell), (0, self._window.width // self._cell)):
            first, last = float(edges[:, axis].min()), float(edges[:, axis].max())
            if last <= 0 or first >= side:
                return None
            first, last = max(round(first), 0), min(round(last), side)
            if last - first < min(_LEAST_AREA, side):
                first = min(first, side - min(_LEAST_AREA, side))
                last = first + min(_LEAST_AREA, side)
            spans.append((first, last))
        (top_cell, bottom_cell), (left_cell, right_cell) = spans
        return bottom_cell - top_cell, right_cell - left_cell, top_cell, left_cell


def _without(rest: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in rest.items() if key not in names}
