"""One window through a refiner: cycles, checks, colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.colour import colour_shift
from ..faces.windows import Window, inside
from ..models.host import Host, Progress
from ..models.refiners import Refiner, Repaint
from .edges import Edges
from .refine_plan import SEEDS, Work
from .refine_settings import RefineSettings

# Between the seeds of two cycles: more than a frame has faces, so that no cycle meets the noise of another face.
_CYCLE_STRIDE = 2**32
# With less than this share of a window unpainted, its colours say nothing about the surroundings.
_LEAST_SURROUNDINGS = 0.02
# Rows and columns, at least, in which these colours are compared, evenly spaced, where a window has that many.
_SAMPLES = 128


class RefinementError(Exception):
    """A diffusion model gave rubbish for a face."""


@dataclass(frozen=True, eq=False)
class Painting:
    """What became of a window.

    Attributes:
        crop: ``[h, w, 3]``, the window with the part that is put back.
        before, after: ``[h', w', 3]``, that part as it was and as it was painted.
    """

    crop: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True, eq=False)
class Painter:
    """Repaints windows, one after the other."""

    refiner: Refiner
    host: Host
    settings: RefineSettings
    progress: Progress

    def paint(self, work: Work, crop: Tensor, edges: Edges) -> Painting | None:
        """The window ``crop`` after all cycles, in place, or ``None`` where the model failed and that is allowed. The
        progress is told of all cycles either way."""
        if not _is_finite(crop):
            raise ValueError(f"Image {work.window.frame + 1} holds values that are not finite numbers.")
        left, top, right, bottom = edges.box
        part = crop[top:bottom, left:right]
        before = after = part.clone()
        denoise = self.settings.sampling.denoise if work.denoise is None else work.denoise
        for cycle in range(self.settings.cycles):
            self.host.check_interrupt()
            seed = (work.seed + cycle * _CYCLE_STRIDE) % SEEDS
            repaint = Repaint(crop, edges.noise, work.window, work.prompt, work.negative, seed, denoise)
            painted = self._repainted(work, repaint)
            if not _is_finite(painted):
                if self.settings.on_error == "skip":
                    missed = self.settings.cycles - 1 - cycle
                    self.progress.advance(missed * self.refiner.steps(self.settings.sampling))
                    return None
                raise RefinementError(
                    f"{self.refiner.name} gave values that are no numbers for {work.name}. Load its VAE in fp32 "
                    "(--fp32-vae in ComfyUI), or try another checkpoint."
                )
            after = painted[top:bottom, left:right].clamp(0, 1)
            after = self._without_colour_shift(crop, painted, after, work.window, edges.noise)
            torch.lerp(before, after, edges.result[..., None], out=part)
        return Painting(crop, before, after)

    def _without_colour_shift(
        self, given: Tensor, painted: Tensor, after: Tensor, window: Window, noise: Tensor
    ) -> Tensor:
        """Removes the colour shift of the VAE, as measured where nothing was repainted.

        Args:
            given, painted: ``[h, w, 3]``, the whole window.
            after: ``[h', w', 3]``, the part of it that is put back.
        """
        if self.settings.colour_match == 0:
            return after
        step = max(1, min(given.shape[:2]) // _SAMPLES)
        around = (noise[::step, ::step] == 0) * inside(window, given.device, step)
        if float(around.mean()) < _LEAST_SURROUNDINGS:
            return after
        seen = painted[None, ::step, ::step].clamp(0, 1)
        shift = colour_shift(seen, given[None, ::step, ::step], around[None])
        return shift.apply(after[None], self.settings.colour_match)[0]

    def _repainted(self, work: Work, repaint: Repaint) -> Tensor:
        height, width = repaint.mask.shape
        try:
            painted = self.refiner.repaint(repaint, self.settings.sampling, self.progress)
        except (RuntimeError, MemoryError) as error:
            if not self.host.is_out_of_memory(error):
                # Such as a model that does not go with its prompt. PyTorch says neither which model nor where.
                raise RuntimeError(f"{self.refiner.name} failed at {work.name}: {error}") from error
            message = (
                f"Out of memory at {work.name}, in a crop of {width}x{height}, even with the VAE in tiles. Lower "
                "max_size."
            )
            raise MemoryError(message) from error
        if painted.shape != repaint.pixels.shape:
            raise RefinementError(
                f"{self.refiner.name} made {painted.shape[1]}x{painted.shape[0]} pixels of {width}x{height}. Its VAE "
                "does not fit its model."
            )
        return painted


def _is_finite(image: Tensor) -> bool:
    """Whether all of an image are numbers. One sum instead of a mask: what is no number makes it none."""
    return math.isfinite(float(image.sum()))
