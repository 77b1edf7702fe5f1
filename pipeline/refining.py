"""Refining: every face repainted by a diffusion model at a size at which it can draw, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.crops import check_frames
from ..faces.face import Faces
from ..faces.memory import duplicate
from ..faces.paste import blend
from ..faces.window_paste import settle
from ..faces.windows import extract_window, extract_window_mask, part_of
from ..models.host import Host
from ..models.refiners import Refiner
from ..models.restorers import RestoreOptions, Restorer
from .blending import BlendSettings
from .edges import edges_of
from .fitting import fitting_region
from .outcome import Outcome
from .refine_painting import Painter
from .refine_plan import FramePlan, PromptSource, plan_frame
from .refine_settings import RefineSettings
from .restore_settings import RestoreSettings
from .restoring import restore


@dataclass(frozen=True)
class Refinement:
    """Refined frames, what changed in them, the faces as they were painted, and what was done to each.

    Attributes:
        frames: ``[B, H, W, C]``; the very tensor that was given where nothing was done.
        changed: ``[B, H, W]`` 0..1.
        crops: ``[h, w, 3]`` 0..1 each, what the model saw with the part that is put back, frame by frame in the order
            of their faces.
        outcomes: for each frame, for each face.
    """

    frames: Tensor
    changed: Tensor
    crops: tuple[Tensor, ...]
    outcomes: tuple[tuple[Outcome, ...], ...]


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
    """Repaints faces and puts them back.

    Every window is cut from the frames as given, so that no face depends on others. Only where windows overlap what was
    repainted before, in reading order, they are cut from the result so far: two paintings of the same pixels would not
    blend into each other.

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
        RuntimeError: PyTorch failed in the model; says at which face.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    region = None if region is None else fitting_region(frames, region).to(frames.device)
    source = source or PromptSource()
    plans = [plan_frame(frame, found, faces, refiner, settings, source) for frame, found in enumerate(faces.frames)]
    changed = torch.zeros(frames.shape[:3], device=frames.device)
    if not any(plan.works for plan in plans):
        return Refinement(frames, changed, (), tuple(plan.outcomes() for plan in plans))
    given, restored = frames, None
    if restorer is not None and settings.restore == "before":
        given, restored = _restored(frames, faces, plans, restorer, host, settings, region)
    steps = settings.cycles * refiner.steps(settings.sampling)
    progress = host.progress(sum(len(plan.works) for plan in plans) * steps, "refine faces")
    job = _Job(given, duplicate(given), changed, region, Painter(refiner, host, settings, progress), steps)
    crops = [crop for plan in plans for crop in job.repaint(plan)]
    result = job.result if crops else given
    if restored is not None:
        changed = changed.add_(restored).clamp_(max=1)
    if restorer is not None and settings.restore == "after":
        result, more = _restored(result, faces, plans, restorer, host, settings, region)
        changed = torch.maximum(changed, more)
    return Refinement(result, changed, tuple(crops), tuple(plan.outcomes() for plan in plans))


@dataclass(frozen=True, eq=False)
class _Job:
    """What faces are repainted with, and where they are put.

    Attributes:
        given: ``[B, H, W, C]``, the frames.
        result: a copy of them, into which faces are put.
        changed: as of :class:`Refinement`, told of these.
        region: as of :func:`refine`, on the device of ``given``.
        painter: repaints the windows, as its settings say.
        steps: that the progress is told of for each window.
    """

    given: Tensor
    result: Tensor
    changed: Tensor
    region: Tensor | None
    painter: Painter
    steps: int

    def repaint(self, plan: FramePlan) -> list[Tensor]:
        """Repaints the faces of a frame and puts them into its result. The plan notes those that were left.

        Returns:
            What was painted, ``[h, w, 3]`` 0..1 each, in the order of the faces.
        """
        settings = self.painter.settings
        painted: dict[int, Tensor] = {}
        for work in sorted(plan.works, key=lambda work: work.faces[0].index):
            frame = work.window.frame
            limits = None if self.region is None else self.region[frame if len(self.region) > 1 else 0]
            edges = edges_of(work.faces, work.window, settings.edge, limits, self.given.device)
            if edges is None:
                plan.skip(work, "the mask leaves nothing of it")
                self.painter.progress.advance(self.steps)
                continue
            part = part_of(work.window, edges.box)
            meets = painted and bool((extract_window_mask(self.changed[frame], part) * edges.result).any())
            seen = self.result if meets else self.given
            painting = self.painter.paint(work, extract_window(seen, work.window), edges)
            if painting is None:
                plan.skip(work, f"{self.painter.refiner.name} failed on it")
                continue
            painted[work.positions[0]] = painting.crop
            patch = settle(seen[frame], part, painting.before, painting.after, edges.result, limits)
            if patch is not None:
                blend(self.result, self.changed, seen, [patch], settings.strength)
        return [painted[position] for position in sorted(painted)]


def _restored(
    frames: Tensor,
    faces: Faces,
    plans: Sequence[FramePlan],
    restorer: Restorer,
    host: Host,
    settings: RefineSettings,
    region: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The same frames with the faces that are repainted restored, and what changed. The plans note it."""
    how = RestoreSettings(
        options=RestoreOptions(fidelity=settings.fidelity),
        blend=BlendSettings(strength=settings.strength),
        on_error=settings.on_error,
    )
    done = restore(frames, faces.with_frames(plan.faces for plan in plans), restorer, host, how, region=region)
    for plan, outcomes in zip(plans, done.outcomes, strict=True):
        plan.add_restoration(outcomes)
    return done.frames, done.changed
