"""Which faces are refined, each in what window, with what prompt, seed and denoise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..faces.face import Box, Face, Faces
from ..faces.pose import roll_of_face
from ..faces.selection import SkipSettings, reasons_to_skip
from ..faces.windows import Window, plan_window
from ..models.refiners import LEAST_DENOISE, Refiner
from .outcome import Outcome
from .prompts import FacePrompt, PromptError, Wildcards, prompts_for
from .refine_settings import IMAGE_STRIDE, PromptSettings, RefineSettings

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
    """One window to repaint, and what with.

    Attributes:
        positions: of its faces among those of the frame; several where faces are merged.
        prompt, negative: "" for the refiner's own.
        seed: of the noise, 0 <= seed < 2**64.
        denoise: ``None`` where the refiner knows its noise levels.
    """

    window: Window
    positions: tuple[int, ...]
    faces: tuple[Face, ...]
    prompt: str
    negative: str
    seed: int
    denoise: float | None

    @property
    def name(self) -> str:
        """For messages."""
        which = f"face {self.faces[0].index + 1}" if len(self.faces) == 1 else "the faces"
        return f"{which} of image {self.window.frame + 1}"


class FramePlan:
    """What is to be done to the faces of one frame, and what came of it.

    Args:
        found: the faces of the frame.
        reasons: for each of them why it is skipped, or ``None``.
        works: the windows to repaint, in which all others are.
    """

    def __init__(self, found: Sequence[Face], reasons: Sequence[str | None], works: Sequence[Work]) -> None:
        self.works = works
        self._found = found
        self._reasons = list(reasons)
        self._restored: dict[int, Outcome] = {}

    @property
    def faces(self) -> list[Face]:
        """Those that are to be repainted, or were."""
        return [face for face, reason in zip(self._found, self._reasons, strict=True) if reason is None]

    def skip(self, work: Work, reason: str) -> None:
        """Notes that the faces of a window stay as they are, and why."""
        for position in work.positions:
            self._reasons[position] = reason

    def add_restoration(self, outcomes: Iterable[Outcome]) -> None:
        """Notes what a restorer did to :attr:`faces`, in their order."""
        left = [position for position, reason in enumerate(self._reasons) if reason is None]
        self._restored = dict(zip(left, outcomes, strict=True))

    def outcomes(self) -> tuple[Outcome, ...]:
        """For each face of the frame, once all windows are done."""
        done = {position: work for work in self.works for position in work.positions}
        outcomes = []
        for position, (face, reason) in enumerate(zip(self._found, self._reasons, strict=True)):
            restored = self._restored.get(position)
            if reason is None:
                outcome = _refined(face, done[position])
                failure = None if restored is None else restored.reason
                outcomes.append(outcome if failure is None else replace(outcome, remark=f"not restored: {failure}"))
            elif restored is not None and restored.reason is None:
                outcomes.append(replace(restored, remark=reason))
            else:
                outcomes.append(Outcome(face, "skipped", reason))
        return tuple(outcomes)


def _refined(face: Face, work: Work) -> Outcome:
    return Outcome(
        face, "refined", enlargement=work.window.scale, prompt=work.prompt, seed=work.seed, denoise=work.denoise
    )


def plan_frame(
    frame: int,
    found: tuple[Face, ...],
    faces: Faces,
    refiner: Refiner,
    settings: RefineSettings,
    source: PromptSource,
) -> FramePlan:
    """Which faces of a frame are repainted, each in what window and with what prompt and seed."""
    skip = SkipSettings(min_size=settings.min_face, max_count=settings.max_faces)
    reasons = reasons_to_skip(found, faces.width, faces.height, skip)
    reasons = [reason or _nothing_acts(settings, refiner) for reason in reasons]
    chosen = [position for position, reason in enumerate(reasons) if reason is None]
    some = [found[position] for position in chosen]
    texts = settings.prompts
    first = _first_seed(frame, texts)
    prompts, negatives = _prompts(some, texts, source, first)
    works: list[Work] = []
    for position, face, prompt, negative in zip(chosen, some, prompts, negatives, strict=True):
        if prompt.skip:
            reasons[position] = "its prompt says [SKIP]"
            continue
        denoise = None if refiner.knows_levels else _denoise(face, faces, settings)
        if denoise is not None and denoise < LEAST_DENOISE:
            reasons[position] = "size_power leaves it no denoise"
            continue
        roll = roll_of_face(face) if face.roll is None else face.roll
        window = plan_window(frame, face.box, roll, faces.width, faces.height, settings.window, refiner.multiple)
        number = face.index if face.track is None else face.track
        own = first if texts.seeds == "all the same" else (first + number) % SEEDS
        seed = own if prompt.seed is None else prompt.seed
        works.append(Work(window, (position,), (face,), prompt.text, negative.text, seed, denoise))
    if works and settings.edge.merges:
        works = [_merged(works, frame, faces, refiner, settings)]
    return FramePlan(found, reasons, works)


def check_prompts(settings: PromptSettings, source: PromptSource) -> None:
    """Raises ``PromptError`` where a prompt cannot be read, before there are faces."""
    _prompts((), settings, source, settings.seed)


def _prompts(
    faces: Sequence[Face], settings: PromptSettings, source: PromptSource, seed: int
) -> tuple[Sequence[FacePrompt], Sequence[FacePrompt]]:
    """What the faces of a frame shall be, and what not. The seed is that of the first of them."""
    prompts = prompts_for(settings.prompt, faces, seed, source.wildcards, source.base)
    try:
        negatives = prompts_for(settings.negative_prompt, faces, seed, source.wildcards, source.negative_base)
    except PromptError as error:
        raise PromptError(f"In the negative prompt: {error}") from error
    return prompts, negatives


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
    if settings.edge.inverts:
        box = (-0.5, -0.5, faces.width - 0.5, faces.height - 0.5)
    window = plan_window(frame, box, None, faces.width, faces.height, settings.window, refiner.multiple)
    return replace(
        works[0],
        window=window,
        positions=tuple(position for work in works for position in work.positions),
        faces=members,
    )


def _nothing_acts(settings: RefineSettings, refiner: Refiner) -> str | None:
    """Why no face is repainted, if that is so."""
    if settings.strength == 0:
        return "strength is 0"
    if settings.sampling.denoise < LEAST_DENOISE and not refiner.knows_levels:
        return "denoise is 0"
    if refiner.steps(settings.sampling) == 0:
        return "there is no step to sample"
    return None


def _first_seed(frame: int, settings: PromptSettings) -> int:
    """Of the first face of a frame."""
    return (settings.seed + frame * IMAGE_STRIDE) % SEEDS if settings.seeds == "each image and face" else settings.seed


def _denoise(face: Face, faces: Faces, settings: RefineSettings) -> float:
    """The denoise for a face of its size (ADetailer's dynamic denoise power), 1 at the most. Merged faces share one,
    and no size of their own acts on it."""
    power = 0.0 if settings.edge.merges else settings.size_power
    denoise = settings.sampling.denoise
    if power == 0:
        return denoise
    rest = 1 - min(face.width * face.height / (faces.width * faces.height), 1.0)
    if rest == 0:
        return 0.0 if power > 0 else 1.0
    return min(denoise * math.pow(rest, power), 1.0)
