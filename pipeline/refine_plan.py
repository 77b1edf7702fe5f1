"""Which faces are refined, each in what window, with what prompt, seed and denoise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..faces.face import Box, Face, Faces
from ..faces.selection import Selection, reasons_to_skip
from ..faces.windows import Window, plan_window
from ..models.refiners import Refiner
from .outcome import Outcome
from .prompts import PromptError, Wildcards, prompts_for
from .refine_settings import RefineSettings

SEEDS = 2**64
"""Seeds are below this."""


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


@dataclass(frozen=True, eq=False)
class Work:
    """One window to repaint: the faces in it by their positions in the frame, and what to paint."""

    window: Window
    positions: tuple[int, ...]
    faces: tuple[Face, ...]
    prompt: str
    negative: str
    seed: int
    denoise: float

    @property
    def name(self) -> str:
        """For messages."""
        which = f"face {self.faces[0].index + 1}" if len(self.faces) == 1 else "the faces"
        return f"{which} of image {self.window.frame + 1}"


class Plan:
    """What is to be done to the faces of one frame, and what came of it."""

    def __init__(self, found: Sequence[Face], reasons: Sequence[str | None], works: Sequence[Work]) -> None:
        self.works = works
        self._found = found
        self._reasons = list(reasons)

    def leave(self, work: Work, reason: str) -> None:
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


def plan_frame(
    frame: int,
    found: tuple[Face, ...],
    faces: Faces,
    refiner: Refiner,
    settings: RefineSettings,
    source: PromptSource,
) -> Plan:
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
    works: list[Work] = []
    for position, face, prompt, negative in zip(chosen, some, prompts, negatives, strict=True):
        if prompt.skip:
            reasons[position] = "its prompt says [SKIP]"
            continue
        window = plan_window(frame, face.box, face.roll, faces.width, faces.height, settings.window, refiner.multiple)
        seed = _seed(face, settings) if prompt.seed is None else prompt.seed
        denoise = _denoise(face, faces, settings)
        works.append(Work(window, (position,), (face,), prompt.text, negative.text, seed, denoise))
    if works and settings.edge.merge.startswith("merge"):
        works = [_merged(works, frame, faces, refiner, settings)]
    return Plan(found, reasons, works)


def _merged(works: Sequence[Work], frame: int, faces: Faces, refiner: Refiner, settings: RefineSettings) -> Work:
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
    return first if kind == "all the same" else (first + face.index) % SEEDS


def _denoise(face: Face, faces: Faces, settings: RefineSettings) -> float:
    """The denoise for a face of its size (ADetailer's dynamic denoise power)."""
    power = settings.size_power
    share = min(face.width * face.height / (faces.width * faces.height), 1.0)
    if power == 0:
        return settings.sampling.denoise
    return settings.sampling.denoise * math.pow(1 - share if power > 0 else share, abs(power))
