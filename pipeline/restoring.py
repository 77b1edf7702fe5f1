"""Restoring: every face cut out, through the restorer, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..faces.alignment import FFHQ, Template
from ..faces.crops import Crops, check_frames, extract, extract_mask, plan_crops
from ..faces.detail import Comparison, kept_detail, trusted_detail
from ..faces.face import Face, Faces
from ..faces.memory import duplicate
from ..faces.paste import Patch, Place, blend
from ..faces.selection import reasons_to_skip
from ..models.host import Host, Progress
from ..models.inference import InvalidOutputError, unusable
from ..models.parsers import Parser
from ..models.restorers import Restorer
from .blending import TOGETHER, in_given_colours, patches_of, places_beside, reaches
from .fitting import check_enlargement, fitting_region
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
    if restorer.task != "restore":
        # What was filled or coloured has no colour of its own in the frame to go back to.
        settings = replace(settings, blend=replace(settings.blend, colour=0.0))
    placed = [_Placed(number, *where) for number, where in enumerate(faces.placed)]
    reasons = [reason for found in faces.frames for reason in _reasons_to_skip(found, faces, settings)]
    outcomes = {
        one.number: Outcome(one.face, "skipped", reason)
        for one, reason in zip(placed, reasons, strict=True)
        if reason is not None
    }
    chosen = [one for one in placed if one.number not in outcomes]
    left_out = [one for one in placed if one.number in outcomes]
    changed = torch.zeros(canvas.shape[:3], device=canvas.device)
    if chosen:
        template = FFHQ if settings.alignment == "ffhq" else restorer.template
        used = parser if settings.blend.mask == "parse" else None
        job = _Job(frames, canvas, restorer, settings, template, region, used)
        progress = host.progress(len(chosen) * job.steps, "restore faces")
        result = duplicate(canvas)
        for group in _in_groups(chosen, restorer, faces, template):
            outcomes |= job.work_on(group, left_out, result, changed, progress)
        if any(outcome.action == "restored" for outcome in outcomes.values()):
            canvas = result
    told = (outcomes[one.number] for one in placed)
    return Restoration(canvas, changed, tuple(tuple(next(told) for _ in found) for found in faces.frames))


@dataclass(frozen=True)
class _Placed:
    """A face, its number among all faces of all frames, and its frame."""

    number: int
    frame: int
    face: Face


def _reasons_to_skip(found: Sequence[Face], faces: Faces, settings: RestoreSettings) -> list[str | None]:
    reasons = reasons_to_skip(found, faces.width, faces.height, settings.skip)
    return [reason or "strength is 0" for reason in reasons] if settings.blend.strength == 0 else reasons


def _in_groups(
    chosen: Sequence[_Placed], restorer: Restorer, faces: Faces, template: Template
) -> Iterator[list[tuple[int, Sequence[_Placed]]]]:
    """Groups of whole frames, within a group a few faces at a time and the side of the crop that suits the restorer
    for all of these."""
    placed = [(member.frame, member.face) for member in chosen]
    crops = plan_crops(placed, template.size, faces.width, faces.height, len(faces.frames), template)
    group: dict[int, list[_Placed]] = {}
    pixels, frame = 0, -1
    for member, side in zip(chosen, crops.native_sides, strict=True):
        if member.frame != frame and pixels >= _GROUP_PIXELS:
            yield _few_at_a_time(group)
            group, pixels = {}, 0
        frame = member.frame
        size = restorer.crop_size(side)
        group.setdefault(size, []).append(member)
        pixels += (size * restorer.scale) ** 2
    yield _few_at_a_time(group)


def _few_at_a_time(group: Mapping[int, Sequence[_Placed]]) -> list[tuple[int, Sequence[_Placed]]]:
    return [
        (size, members[start : start + TOGETHER])
        for size, members in group.items()
        for start in range(0, len(members), TOGETHER)
    ]


@dataclass(frozen=True, eq=False)
class _Done:
    """What came of the face of a number, and its patch where it has one."""

    number: int
    outcome: Outcome
    patch: Patch | None = None


@dataclass(frozen=True, eq=False)
class _Job:
    """What faces are restored with. Arguments are those of :func:`restore`; ``parser`` only where the mask needs it."""

    frames: Tensor
    canvas: Tensor
    restorer: Restorer
    settings: RestoreSettings
    template: Template
    region: Tensor | None
    parser: Parser | None

    @property
    def steps(self) -> int:
        """Of progress, for each face."""
        return 1 if self.parser is None else 2

    def work_on(
        self,
        group: Sequence[tuple[int, Sequence[_Placed]]],
        left_out: Sequence[_Placed],
        result: Tensor,
        changed: Tensor,
        progress: Progress,
    ) -> dict[int, Outcome]:
        """Restores the faces of a few whole frames and blends them into ``result`` and ``changed``.

        Args:
            group: sides of crops, and faces that get such.
            left_out: faces that stay as they are, of any frame.

        Returns:
            What came of each face, by its number.
        """
        done: list[_Done] = []
        for size, members in group:
            share = Share(progress, len(members) * self.steps)
            done += self.restored(members, size, share)
            share.finish()
        patches = [one.patch for one in done if one.patch is not None]
        beside = self.left_out(left_out, patches)
        blend(result, changed, self.canvas, patches, self.settings.blend.strength, beside)
        return {one.number: one.outcome for one in done}

    def restored(self, members: Sequence[_Placed], size: int, progress: Progress) -> Iterator[_Done]:
        """What comes of a few faces in crops of ``size`` pixels, in their order."""
        batch, height, width = self.frames.shape[:3]
        placed = [(member.frame, member.face) for member in members]
        crops = plan_crops(placed, size, width, height, batch, self.template)
        pixels = extract(self.frames, crops)
        for index in unusable(pixels):
            raise ValueError(f"Image {crops.frame_of[index] + 1} holds values that are not finite numbers.")
        reasons, hidden = self._out_of_reach(crops)
        left = [index for index, reason in enumerate(reasons) if reason is None]
        restored, failed = self._through_restorer(
            pixels[left], crops.take(left), None if hidden is None else hidden[left], progress
        )
        for index in failed:
            reasons[left[index]] = f"{self.restorer.name} failed on it"
        good = [index for index in left if reasons[index] is None]
        patches = iter(self._patches(pixels[good], crops.take(good), restored, progress))
        for member, reason, side in zip(members, reasons, crops.native_sides, strict=True):
            if reason is not None:
                yield _Done(member.number, Outcome(member.face, "skipped", reason))
            else:
                outcome = Outcome(member.face, "restored", None, size * self.restorer.scale / side)
                yield _Done(member.number, outcome, next(patches))

    def left_out(self, members: Sequence[_Placed], patches: Sequence[Patch]) -> list[Place]:
        """The places of faces that stay as they are, where the patches of others reach into them."""
        frames = {patch.frame for patch in patches}
        placed = [(member.frame, member.face) for member in members if member.frame in frames]
        batch, height, width = self.frames.shape[:3]
        crops = plan_crops(placed, self.template.size, width, height, batch, self.template)
        return places_beside(self.canvas, crops, self.settings.blend, patches)

    def _patches(self, given: Tensor, crops: Crops, restored: Tensor, progress: Progress) -> list[Patch | None]:
        """A patch for each restored crop, or none where it lies outside its frame."""
        blending, parsed = self.settings.blend, None
        if self.parser is not None and len(crops):
            parsed = parsed_faces(restored, crops, self.parser, blending.feather, progress)
        coloured = in_given_colours(restored, given, crops, blending.colour)
        # What fills or colours faces changes them throughout.
        keeps = self.restorer.task == "restore" and len(crops) > 0
        comparison = self._comparison(given, crops, restored) if keeps else None
        return patches_of(self.canvas, crops, coloured, blending, self.region, parsed, comparison)

    def _comparison(self, given: Tensor, crops: Crops, restored: Tensor) -> Comparison:
        seen, kept = given, kept_detail(given, restored)
        if self.canvas is not self.frames:
            seen = extract(self.canvas, crops.at_frame_size(self.canvas.shape[2], self.canvas.shape[1]))
            kept = kept * trusted_detail(given, seen.to(given.device))
        # In half the bytes, to a sixteenth of a level of 255: all crops of a frame are there at once.
        return Comparison(self.frames, seen.half(), kept, self.settings.grain)

    def _out_of_reach(self, crops: Crops) -> tuple[list[str | None], Tensor | None]:
        """Why a crop is left alone of which nothing is in the region, and for a restorer that fills what is hidden in
        each crop."""
        if self.region is None:
            return [None] * len(crops), None
        if self.restorer.task == "fill":
            hidden = extract_mask(self.region, crops) > 0
            reached, why = hidden.flatten(1).any(1).tolist(), "nothing of it is in the region"
        else:
            hidden = None
            reached, why = reaches(self.region, crops, self.settings.blend), "the mask leaves nothing of it"
        return [None if some else why for some in reached], hidden

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
