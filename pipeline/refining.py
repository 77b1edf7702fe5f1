"""Refining: every face repainted by a diffusion model at a size at which it can draw, and put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..faces.colour import colour_shift
from ..faces.crops import check_frames
from ..faces.face import Box, Face, Faces
from ..faces.memory import duplicate
from ..faces.paste import Patch, blend
from ..faces.selection import Selection, reasons_to_skip
from ..faces.window_paste import settle
from ..faces.windows import Window, inside, look, part_of, plan_window
from ..models.host import Host, Progress
from ..models.refiners import Refiner, Repaint
from ..models.restorers import RestoreOptions, Restorer
from .blending import fitting_region
from .edges import Edges, edges_of
from .outcome import Outcome
from .prompts import PromptError, Wildcards, prompts_for
from .refine_settings import RefineSettings
from .restoring import RestoreSettings, restore

_SEEDS = 2**64
# Between the seeds of two cycles: more than a frame has faces, so that no cycle meets the noise of another face.
_CYCLE_STRIDE = 2**32
# With less than this share of a window unpainted, its colours say nothing about the surroundings.
_LEAST_SURROUNDINGS = 0.02
# Colour statistics are taken from at least so many rows and columns of a window, evenly spaced.
_SAMPLES = 128


class RefinementError(Exception):
    """A diffusion model gave rubbish for a face."""


@dataclass(frozen=True)
class Refinement:
    """Refined frames, what changed in them, the faces as they were painted, and what was done to each.

    Attributes:
        frames: ``[B, H, W, C]``; the very tensor that was given where nothing was done.
        changed: ``[B, H, W]`` 0..1.
        crops: ``[h, w, 3]`` 0..1 each, as the model left them, frame by frame in reading order.
        outcomes: for each frame, for each face.
    """

    frames: Tensor
    changed: Tensor
    crops: tuple[Tensor, ...]
    outcomes: tuple[tuple[Outcome, ...], ...]


@dataclass(frozen=True)
class PromptSource:
    """What prompts are made of beside the settings.

    Attributes:
        base, negative_base: the engine's own prompts where they are texts; ``None`` where they are something else.
        wildcards: lists to draw words from.
    """

    base: str | None = None
    negative_base: str | None = None
    wildcards: Wildcards = Wildcards()


def refine(
    frames: Tensor,
    faces: Faces,
    refiner: Refiner,
    host: Host,
    settings: RefineSettings,
    source: PromptSource | None = None,
    region: Tensor | None = None,
    restorer: Restorer | None = None,
) -> Refinement:
    """Repaints faces and puts them back. Every window is cut from the frames as given, so that no face depends on the
    order in which the others were done.

    Args:
        frames: ``[B, H, W, 3 or 4]`` 0..1.
        faces: those of ``frames``.
        region: ``[B or 1, H, W]`` 0..1 in frame pixels: where anything may change.
        restorer: works on the same faces before or after, as the settings say.

    Raises:
        ValueError: the frames are not those that the faces were found in, or hold no numbers, or the region does not
            fit them, or a prompt cannot be read (:class:`~.prompts.PromptError`).
        RefinementError: the model gave rubbish for a face, and ``settings.on_error`` is "stop".
        MemoryError: a face does not fit; says which, and its size.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    region = None if region is None else fitting_region(frames, region)
    source = source or PromptSource()
    plans = [_plan(frame, found, faces, refiner, settings, source) for frame, found in enumerate(faces.frames)]
    works = [work for plan in plans for work in plan.works]
    changed = torch.zeros(frames.shape[:3], device=frames.device)
    if not works:
        return Refinement(frames, changed, (), tuple(plan.outcomes() for plan in plans))
    given = frames
    if restorer is not None and settings.restore == "before":
        given, changed = _restored(frames, faces, restorer, host, settings, region)
    total = len(works) * settings.cycles * refiner.steps(settings.sampling)
    painter = _Painter(refiner, host, settings, host.progress(total, "refine faces"))
    result = duplicate(given)
    crops: list[Tensor] = []
    for plan in plans:
        patches: list[Patch] = []
        for work in plan.works:
            limits = None if region is None else region[work.window.frame if len(region) > 1 else 0]
            edges = edges_of(work.faces, work.window, settings.edge, limits, given.device)
            if edges is None:
                plan.leave(work, "the mask leaves nothing of it")
                continue
            painting = painter.paint(work, look(given, work.window), edges)
            if painting is None:
                plan.leave(work, f"{refiner.name} failed on it")
                continue
            crops.append(painting.crop)
            part = part_of(work.window, edges.box)
            patch = settle(given[work.window.frame], part, painting.before, painting.after, edges.result, limits)
            patches += [patch] if patch is not None else []
        blend(result, changed, given, patches, settings.strength)
    if restorer is not None and settings.restore == "after":
        result, more = _restored(result, faces, restorer, host, settings, region)
        changed = torch.maximum(changed, more)
    return Refinement(result, changed, tuple(crops), tuple(plan.outcomes() for plan in plans))


@dataclass(frozen=True, eq=False)
class _Work:
    """One window to repaint: the faces in it by their positions in the frame, and what to paint."""

    window: Window
    positions: tuple[int, ...]
    faces: tuple[Face, ...]
    prompt: str
    negative: str
    seed: int
    denoise: float


class _Plan:
    """What is to be done to the faces of one frame, and what came of it."""

    def __init__(self, found: Sequence[Face], reasons: Sequence[str | None], works: Sequence[_Work]) -> None:
        self.works = works
        self._found = found
        self._reasons = list(reasons)

    def leave(self, work: _Work, reason: str) -> None:
        for position in work.positions:
            self._reasons[position] = reason

    def outcomes(self) -> tuple[Outcome, ...]:
        done = {position: work for work in self.works for position in work.positions}
        return tuple(
            Outcome(face, "skipped", reason)
            if reason is not None
            else Outcome(
                face,
                "refined",
                enlargement=done[position].window.scale,
                prompt=done[position].prompt,
                seed=done[position].seed,
                denoise=done[position].denoise,
            )
            for position, (face, reason) in enumerate(zip(self._found, self._reasons, strict=True))
        )


def _plan(
    frame: int,
    found: tuple[Face, ...],
    faces: Faces,
    refiner: Refiner,
    settings: RefineSettings,
    source: PromptSource,
) -> _Plan:
    """Which faces of a frame are repainted, each in what window and with what prompt and seed."""
    selection = Selection(min_size=settings.min_face, max_count=settings.max_faces)
    reasons = reasons_to_skip(found, faces.width, faces.height, selection)
    if settings.strength == 0 or settings.sampling.denoise == 0:
        why = "strength is 0" if settings.strength == 0 else "denoise is 0"
        reasons = [reason or why for reason in reasons]
    chosen = [position for position, reason in enumerate(reasons) if reason is None]
    some = [found[position] for position in chosen]
    texts = settings.prompts
    prompts = prompts_for(texts.prompt, some, texts.seed, source.wildcards, source.base)
    try:
        negatives = prompts_for(texts.negative_prompt, some, texts.seed, source.wildcards, source.negative_base)
    except PromptError as error:
        raise PromptError(f"In the negative prompt: {error}") from error
    works: list[_Work] = []
    for position, face, prompt, negative in zip(chosen, some, prompts, negatives, strict=True):
        if prompt.skip:
            reasons[position] = "its prompt says [SKIP]"
            continue
        window = plan_window(frame, face.box, face.roll, faces.width, faces.height, settings.window, refiner.multiple)
        seed = _seed(face, settings) if prompt.seed is None else prompt.seed
        denoise = _denoise(face, faces, settings)
        works.append(_Work(window, (position,), (face,), prompt.text, negative.text, seed, denoise))
    if works and settings.edge.merge.startswith("merge"):
        works = [_merged(works, frame, faces, refiner, settings)]
    return _Plan(found, reasons, works)


def _merged(works: Sequence[_Work], frame: int, faces: Faces, refiner: Refiner, settings: RefineSettings) -> _Work:
    """All faces of a frame as one, with the prompt and seed of the first."""
    members = tuple(face for work in works for face in work.faces)
    boxes = [face.box for face in members]
    box: Box = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    if settings.edge.merge == "merge and invert":
        box = (-0.5, -0.5, faces.width - 0.5, faces.height - 0.5)
    window = plan_window(frame, box, None, faces.width, faces.height, settings.window, refiner.multiple)
    return replace(
        works[0],
        window=window,
        positions=tuple(position for work in works for position in work.positions),
        faces=members,
        denoise=settings.sampling.denoise,
    )


def _seed(face: Face, settings: RefineSettings) -> int:
    first, kind = settings.prompts.seed, settings.prompts.seeds
    if kind == "all the same":
        return first
    if kind == "by track" and face.track is not None:
        return (first + face.track) % _SEEDS
    return (first + face.index) % _SEEDS


def _denoise(face: Face, faces: Faces, settings: RefineSettings) -> float:
    """The denoise for a face of its size (ADetailer's dynamic denoise power)."""
    power = settings.size_power
    share = min(face.width * face.height / (faces.width * faces.height), 1.0)
    if power == 0:
        return settings.sampling.denoise
    return settings.sampling.denoise * math.pow(1 - share if power > 0 else share, abs(power))


@dataclass(frozen=True, eq=False)
class _Painting:
    """What became of a window.

    Attributes:
        crop: ``[h, w, 3]``, the window with the part that is put back.
        before, after: ``[h', w', 3]``, that part as it was and as it was painted.
    """

    crop: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True, eq=False)
class _Painter:
    """Repaints windows, one after the other."""

    refiner: Refiner
    host: Host
    settings: RefineSettings
    progress: Progress

    def paint(self, work: _Work, crop: Tensor, edges: Edges) -> _Painting | None:
        """The window ``crop`` after all cycles, in place, or ``None`` where the model failed and that is allowed."""
        if not _is_finite(crop):
            raise ValueError(f"Image {work.window.frame + 1} holds values that are not finite numbers.")
        left, top, right, bottom = edges.box
        part = crop[top:bottom, left:right]
        before = after = part.clone()
        for cycle in range(self.settings.cycles):
            self.host.check_interrupt()
            seed = (work.seed + cycle * _CYCLE_STRIDE) % _SEEDS
            repaint = Repaint(crop, edges.noise, work.window, work.prompt, work.negative, seed, work.denoise)
            painted = self._repainted(work, repaint)
            if not _is_finite(painted):
                if self.settings.on_error == "skip":
                    return None
                raise RefinementError(
                    f"{self.refiner.name} gave values that are no numbers for {_named(work)}. Load its VAE in fp32 "
                    "(--fp32-vae in ComfyUI), or try another checkpoint."
                )
            after = painted[top:bottom, left:right].clamp(0, 1)
            after = self._in_the_colours_of(crop, painted, after, work.window, edges.noise)
            torch.lerp(before, after, edges.result[..., None], out=part)
        return _Painting(crop, before, after)

    def _in_the_colours_of(
        self, given: Tensor, painted: Tensor, after: Tensor, window: Window, noise: Tensor
    ) -> Tensor:
        """Takes the difference in colour of what was not repainted, the VAE's own, off what was.

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

    def _repainted(self, work: _Work, repaint: Repaint) -> Tensor:
        height, width = repaint.mask.shape
        try:
            painted = self.refiner.repaint(repaint, self.settings.sampling, self.progress)
        except (RuntimeError, MemoryError) as error:
            if not self.host.is_out_of_memory(error):
                raise
            message = (
                f"Out of memory at {_named(work)}, in a crop of {width}x{height}, even with the VAE in tiles. Lower "
                "max_size, guide_size or crop_factor."
            )
            raise MemoryError(message) from error
        if painted.shape != repaint.pixels.shape:
            raise RefinementError(
                f"{self.refiner.name} made {painted.shape[1]}x{painted.shape[0]} pixels of {width}x{height}. Its VAE "
                "does not fit its model."
            )
        return painted


def _named(work: _Work) -> str:
    which = f"face {work.faces[0].index + 1}" if len(work.faces) == 1 else "the faces"
    return f"{which} of image {work.window.frame + 1}"


def _restored(
    frames: Tensor, faces: Faces, restorer: Restorer, host: Host, settings: RefineSettings, region: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same frames with the same faces restored, and what changed."""
    how = RestoreSettings(
        options=RestoreOptions(fidelity=settings.fidelity),
        selection=Selection(min_size=settings.min_face, max_count=settings.max_faces),
        on_error=settings.on_error,
    )
    done = restore(frames, faces, restorer, host, how, region=region)
    return done.frames, done.changed


def _is_finite(image: Tensor) -> bool:
    """Whether all of an image are numbers. One sum instead of a mask: what is no number makes it none."""
    return math.isfinite(float(image.sum()))
