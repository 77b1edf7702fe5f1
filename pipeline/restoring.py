"""Restoring: every face cut out, through the restorer, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..faces.alignment import FFHQ, Template
from ..faces.crops import Crops, check_frames, extract, extract_mask, plan_crops
from ..faces.face import Face, Faces
from ..faces.memory import duplicate
from ..faces.paste import Patch, blend
from ..faces.selection import reasons_to_skip
from ..models.host import Host, Progress
from ..models.inference import InvalidOutputError
from ..models.parsers import Parser
from ..models.restorers import Restorer
from .blending import TOGETHER, BlendSettings, check_enlargement, fitting_region, in_given_colours, patches_of, reaches
from .outcome import Outcome
from .parsing import check_parser, parsed_faces
from .progress import Share
from .restore_settings import RestoreSettings

# Faces are worked on in groups of whole frames, so that a long video does not hold all of its crops at once.
_GROUP_PIXELS = 64 * 512 * 512


class RestorationError(Exception):
    """A restorer gave rubbish for a face."""


@dataclass(frozen=True)
class Restoration:
    """Restored frames, what changed in them, and what was done to each face of each frame.

    Attributes:
        frames: ``[B, H, W, C]``; the very tensor that was given where nothing was done.
        changed: ``[B, H, W]`` 0..1.
    """

    frames: Tensor
    changed: Tensor
    outcomes: tuple[tuple[Outcome, ...], ...]


def restore(
    frames: Tensor,
    faces: Faces,
    restorer: Restorer,
    host: Host,
    settings: RestoreSettings,
    background: Tensor | None = None,
    region: Tensor | None = None,
    parser: Parser | None = None,
) -> Restoration:
    """Restores faces and puts them back.

    Args:
        frames: ``[B, H, W, 3 or 4]`` 0..1.
        faces: those of ``frames``.
        background: the same frames at another size, already upscaled; the faces are put into these instead.
        region: ``[B or 1, H, W]`` 0..1 in frame pixels: where anything may change. It is what a restorer that fills
            hidden parts of faces fills.
        parser: finds the face in the restored crops where the mask is "parse".

    Raises:
        ValueError: the frames are not those that the faces were found in, or hold no numbers, or the background or
            region do not fit them, or there is no parser or region where one is needed.
        RestorationError: the network gave rubbish for a face, and ``settings.on_error`` is "stop".
        InvalidOutputError: the parser gave rubbish.
        MemoryError: not even a single face fits.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    canvas = frames if background is None else background
    check_enlargement("background", canvas, len(frames), faces.width, faces.height)
    region = None if region is None else fitting_region(frames, region)
    check_parser(settings.blend.mask, parser)
    if restorer.task == "fill" and region is None:
        raise ValueError(
            f"{restorer.name} fills hidden parts of faces and must be told which: connect a region that is white there."
        )
    look = settings.blend
    if restorer.task != "restore":
        # What was filled or coloured has no colour of its own in the frame to go back to.
        look = replace(look, colour=0.0)
    parses = settings.blend.mask == "parse"
    changed = torch.zeros(canvas.shape[:3], device=canvas.device)
    reasons = [reasons_to_skip(found, faces.width, faces.height, settings.selection) for found in faces.frames]
    if settings.blend.strength == 0:
        reasons = [[reason or "strength is 0" for reason in frame] for frame in reasons]
    chosen = _chosen_of(faces, reasons)
    enlargements: dict[tuple[int, int], float] = {}
    if chosen:
        each = 2 if parses else 1
        progress = host.progress(len(chosen) * each, "restore faces")
        result = duplicate(canvas)
        template = FFHQ if settings.alignment == "ffhq" else restorer.template
        job = _Job(frames, canvas, faces, restorer, settings, look, template, region, parser if parses else None)
        for group in _in_groups(chosen, restorer, faces, template):
            patches: list[Patch] = []
            for size, members in group.items():
                for start in range(0, len(members), TOGETHER):
                    some = members[start : start + TOGETHER]
                    share = Share(progress, len(some) * each)
                    done = job.restored(some, size, share)
                    share.finish()
                    patches += done.patches
                    for index, failure in done.failures.items():
                        reasons[some[index].frame][some[index].position] = failure
                    for index, enlargement in done.enlargements.items():
                        enlargements[some[index].frame, some[index].position] = enlargement
            blend(result, changed, canvas, patches, settings.blend.strength)
        if enlargements:
            canvas = result
    return Restoration(canvas, changed, _outcomes_of(faces, reasons, enlargements))


@dataclass(frozen=True)
class _Chosen:
    """A face to work on, its frame, and its position among the faces of that frame."""

    frame: int
    position: int
    face: Face


def _chosen_of(faces: Faces, reasons: Sequence[Sequence[str | None]]) -> list[_Chosen]:
    """The faces that nothing speaks against, frame by frame."""
    return [
        _Chosen(frame, position, face)
        for frame, (found, why) in enumerate(zip(faces.frames, reasons, strict=True))
        for position, (face, reason) in enumerate(zip(found, why, strict=True))
        if reason is None
    ]


def _outcomes_of(
    faces: Faces, reasons: Sequence[Sequence[str | None]], enlargements: Mapping[tuple[int, int], float]
) -> tuple[tuple[Outcome, ...], ...]:
    """What was done to each face of each frame; enlargements by frame and position."""
    return tuple(
        tuple(
            Outcome(face, "skipped", reason)
            if reason is not None
            else Outcome(face, "restored", None, enlargements[frame, position])
            for position, (face, reason) in enumerate(zip(found, why, strict=True))
        )
        for frame, (found, why) in enumerate(zip(faces.frames, reasons, strict=True))
    )


def _in_groups(
    chosen: Sequence[_Chosen], restorer: Restorer, faces: Faces, template: Template
) -> Iterator[dict[int, list[_Chosen]]]:
    """Groups of whole frames, within a group by the side of the crop that suits the restorer."""
    placed = [(member.frame, member.face) for member in chosen]
    crops = plan_crops(placed, template.size, faces.width, faces.height, len(faces.frames), template)
    group: dict[int, list[_Chosen]] = {}
    pixels, frame = 0, -1
    for member, side in zip(chosen, crops.native_sides, strict=True):
        if member.frame != frame and pixels >= _GROUP_PIXELS:
            yield group
            group, pixels = {}, 0
        frame = member.frame
        size = restorer.crop_size(side)
        group.setdefault(size, []).append(member)
        pixels += (size * restorer.scale) ** 2
    yield group


@dataclass(frozen=True)
class _Done:
    """What came of a few faces: patches, and by the numbers of the faces why nothing did, or how much the crop of one
    enlarged it."""

    patches: list[Patch]
    failures: Mapping[int, str]
    enlargements: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class _Job:
    """What faces are restored with. Arguments are those of :func:`restore`; ``parser`` only where the mask needs it."""

    frames: Tensor
    canvas: Tensor
    faces: Faces
    restorer: Restorer
    settings: RestoreSettings
    look: BlendSettings
    template: Template
    region: Tensor | None
    parser: Parser | None

    def restored(self, members: Sequence[_Chosen], size: int, progress: Progress) -> _Done:
        """A few faces in crops of ``size`` pixels."""
        placed = [(member.frame, member.face) for member in members]
        faces = self.faces
        crops = plan_crops(placed, size, faces.width, faces.height, len(self.frames), self.template)
        pixels = extract(self.frames, crops)
        for index, finite in enumerate(pixels.isfinite().flatten(1).all(1).tolist()):
            if not finite:
                raise ValueError(f"Image {crops.frame_of[index] + 1} holds values that are not finite numbers.")
        failures, hidden = self._out_of_reach(crops)
        left = [index for index in range(len(crops)) if index not in failures]
        if hidden is not None:
            hidden = hidden[left]
        restored, failed = self._through_restorer(pixels[left], crops.take(left), hidden, progress)
        failures |= {left[index]: f"{self.restorer.name} failed on it" for index in failed}
        good = [index for index in left if index not in failures]
        crops, parsed = crops.take(good), None
        if self.parser is not None and good:
            parsed = parsed_faces(restored, crops, self.parser, self.look.feather, progress)
        restored = in_given_colours(restored, pixels[good], crops, self.look.colour)
        patches = patches_of(self.canvas, crops, restored, self.look, self.region, parsed)
        sides = crops.native_sides
        enlargements = {index: size * self.restorer.scale / side for index, side in zip(good, sides, strict=True)}
        return _Done(patches, failures, enlargements)

    def _out_of_reach(self, crops: Crops) -> tuple[dict[int, str], Tensor | None]:
        """Of which crops nothing is in the region, and for a restorer that fills what is hidden in each."""
        if self.region is None:
            return {}, None
        if self.restorer.task == "fill":
            hidden = extract_mask(self.region, crops) > 0
            reached, why = hidden.flatten(1).any(1).tolist(), "nothing of it is in the region"
        else:
            hidden = None
            reached, why = reaches(self.region, crops, self.look), "the mask leaves nothing of it"
        return {index: why for index, some in enumerate(reached) if not some}, hidden

    def _through_restorer(
        self, pixels: Tensor, crops: Crops, hidden: Tensor | None, progress: Progress
    ) -> tuple[Tensor, list[int]]:
        """Restored crops ``[N, S, S, 3]`` without those that failed, and which those are."""
        failed: list[int] = []
        try:
            return self._restore(pixels, hidden, progress), failed
        except InvalidOutputError as error:
            if self.settings.on_error == "stop":
                first = error.positions[0]
                raise RestorationError(
                    f"{self.restorer.name} gave values that are no numbers for face {crops.faces[first].index + 1} of "
                    f"image {crops.frame_of[first] + 1}. Load it with precision fp32, or check its file with "
                    "`visage models verify`."
                ) from error
        # One by one, so that each is tried once more and no more often than that.
        good = []
        for index in range(len(crops)):
            chosen = slice(index, index + 1)
            try:
                good.append(self._restore(pixels[chosen], None if hidden is None else hidden[chosen], progress))
            except InvalidOutputError:
                failed.append(index)
        none = pixels[:0], None if hidden is None else hidden[:0]
        return (torch.cat(good) if good else self._restore(*none, progress)), failed

    def _restore(self, pixels: Tensor, hidden: Tensor | None, progress: Progress) -> Tensor:
        restored = self.restorer.restore(pixels.movedim(-1, 1), self.settings.options, progress, hidden)
        return restored.movedim(1, -1)
