"""What can be told of faces: how they look at the camera, how good their pictures are, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.crops import check_frames, extract, plan_crops
from ..faces.face import Face, Faces, resized
from ..faces.pose import pitch_of, roll_of_face, yaw_of
from ..faces.quality import FaceQuality, face_qualities
from ..models.embedders import Embedder
from ..models.host import Progress
from .fitting import check_enlargement

# How many crops are held at once.
_GROUP = 64


@dataclass(frozen=True)
class Reference:
    """The images that faces are compared with, and the faces in them.

    Attributes:
        frames: ``[B or 1, H, W, 3 or more]`` 0..1, for each frame one or one for all.
        faces: those of ``frames``.
        by_place: they are the same faces in the same order, as before and after a restoration. Else the most alike
            face is looked for.
    """

    frames: Tensor
    faces: Faces
    by_place: bool


@dataclass(frozen=True)
class Likeness:
    """How alike a face and one of the reference are.

    Attributes:
        similarity: cosine of their embeddings, -1..1.
        same_person: whether that is more than faces of two people usually have; ``None`` where the embedder does not
            say how much that is.
        frame, face: which one of the reference it is, both counted from 0.
    """

    similarity: float
    same_person: bool | None
    frame: int
    face: int


@dataclass(frozen=True)
class FaceReport:
    """What can be told of one face.

    Attributes:
        roll, yaw, pitch: in degrees (:mod:`..faces.pose`); ``None`` where its landmarks do not tell.
        likeness: ``None`` where there is nothing to compare it with.
    """

    face: Face
    quality: FaceQuality
    roll: float | None
    yaw: float | None
    pitch: float | None
    likeness: Likeness | None = None


def report_faces(
    frames: Tensor,
    faces: Faces,
    embedder: Embedder | None = None,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[FaceReport, ...], ...]:
    """The reports on the faces of each frame.

    Args:
        frames: ``[B, H, W, 3 or more]`` 0..1.
        faces: those of ``frames``.
        embedder: compares them with those of the reference.
        progress: told of each frame.

    Raises:
        ValueError: the frames are not those that the faces were found in, or those of the reference likewise, or it
            has another number of frames.
        InvalidOutputError, MemoryError: as :meth:`Embedder.embed`.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    likenesses: Sequence[Sequence[Likeness | None]] = [[None] * len(found) for found in faces.frames]
    if embedder is not None and reference is not None:
        likenesses = _compared(frames, faces, embedder, reference)
    reports = []
    for frame, found, alike in zip(frames, faces.frames, likenesses, strict=True):
        (qualities,) = face_qualities(frame[None], faces.with_frames([found]))
        reports.append(tuple(_report(*known) for known in zip(found, qualities, alike, strict=True)))
        if progress is not None:
            progress.advance()
    return tuple(reports)


def same_faces(frames: Tensor, faces: Faces) -> Reference:
    """The reference that shows the same faces at the same places.

    Args:
        frames: the frames of the faces after some work, ``[B, H, W, 3 or more]``, of their size or another one.

    Raises:
        ValueError: there are more or fewer of them, or they are of another shape.
    """
    check_enlargement("reference", frames, len(faces.frames), faces.width, faces.height)
    height, width = frames.shape[1:3]
    scale = width / faces.width
    moved = tuple(tuple(resized(face, scale) for face in found) for found in faces.frames)
    return Reference(frames, Faces(width, height, moved), by_place=True)


def _report(face: Face, quality: FaceQuality, likeness: Likeness | None) -> FaceReport:
    marks = face.landmarks
    yaw, pitch = (None, None) if marks is None else (yaw_of(marks), pitch_of(marks))
    return FaceReport(face, quality, roll_of_face(face), yaw, pitch, likeness)


def _compared(frames: Tensor, faces: Faces, embedder: Embedder, reference: Reference) -> list[list[Likeness | None]]:
    theirs = reference.faces
    check_frames(reference.frames, theirs.width, theirs.height, len(theirs.frames))
    if len(theirs.frames) not in (1, len(frames)):
        raise ValueError(
            f"The reference has {len(theirs.frames)} images for {len(frames)}. Give it one for all, or one for each."
        )
    ours, others = _embedded(frames, faces, embedder), _embedded(reference.frames, theirs, embedder)
    alike = []
    for number, vectors in enumerate(ours):
        frame = number if len(others) > 1 else 0
        cosines = (vectors.double() @ others[frame].double().T).clamp(-1, 1)
        alike.append([_likeness(row, place, frame, embedder, reference) for place, row in enumerate(cosines)])
    return alike


def _likeness(cosines: Tensor, place: int, frame: int, embedder: Embedder, reference: Reference) -> Likeness | None:
    """Of the face at a place in its frame, from its cosines ``[M]`` with the faces of a frame of the reference."""
    if reference.by_place and place < len(cosines):
        face = place
    elif not reference.by_place and len(cosines):
        face = int(cosines.argmax())
    else:
        return None
    similarity, least = float(cosines[face]), embedder.same_person
    return Likeness(similarity, None if least is None else similarity >= least, frame, face)


def _embedded(frames: Tensor, faces: Faces, embedder: Embedder) -> list[Tensor]:
    """The vectors of the faces of each frame, ``[N, length]`` each, on the CPU."""
    vectors = [torch.empty(0, embedder.length)]
    for start in range(0, faces.count, _GROUP):
        placed = faces.placed[start : start + _GROUP]
        template = embedder.template
        crops = plan_crops(placed, template.size, faces.width, faces.height, len(frames), template)
        vectors.append(embedder.embed(extract(frames, crops).movedim(-1, 1)).cpu())
    return list(torch.split(torch.cat(vectors), [len(found) for found in faces.frames]))
