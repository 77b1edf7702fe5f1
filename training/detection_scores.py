"""How well the faces that a detector gives fit the faces that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..faces.face import Face, intersection_over_union, roll_of
from .detector_sets import SMALLEST
from .labels import LabelledFace
from .scenes import Scene

_OVERLAP = 0.4
_PRECISION = 0.95
# Rolls in degrees from which on a face counts as rolled.
_ROLLED = 20.0
# A false box up to this share smaller than the faces asked for is a small thing taken for a small face: not counted
# among the larger ones.
_ALMOST = 0.8


@dataclass(frozen=True)
class Match:
    """One given face: its score, and the true face that it is, ``None`` for a false alarm."""

    score: float
    truth: LabelledFace | None
    landmark_error: float | None = None


@dataclass(frozen=True)
class Scores:
    """Of one detector on one set.

    Attributes:
        faces: that are to be found.
        threshold: least score at which 95 of 100 given faces are right (1 where no score reaches that).
        recall: share of the faces found at that score.
        rolled_recall: of those rolled by 20 degrees and more; ``None`` where there are none.
        landmark_error: mean distance of the landmarks of those found, over the distance of the eyes.
        usual_recall: share of the faces found by somebody who leaves the least score as it is.
        usual_false: boxes given then that are no faces.
    """

    faces: int
    threshold: float
    recall: float
    rolled_recall: float | None
    landmark_error: float | None
    usual_recall: float
    usual_false: int


def size_of(face: LabelledFace) -> float:
    return max(face.box[2] - face.box[0], face.box[3] - face.box[1])


def matched(scene: Scene, found: Sequence[Face], smallest: float) -> list[Match]:
    """The given faces of one picture, surest first, each true face taken once, by the surest that fits it.

    Left out are those that fit a face that does not count or is smaller than ``smallest``, and false ones that are.
    """
    waiting = [face for face in scene.faces if size_of(face) >= smallest]
    others = [*scene.ignored, *(face.box for face in scene.faces if size_of(face) < smallest)]
    matches = []
    for face in sorted(found, key=lambda one: -one.score):
        best = max(waiting, key=lambda one: intersection_over_union(one.box, face.box), default=None)
        if best is not None and intersection_over_union(best.box, face.box) >= _OVERLAP:
            # By identity: two faces may be equal in a picture that shows one twice.
            waiting = [one for one in waiting if one is not best]
            matches.append(Match(face.score, best, _landmark_error(face, best)))
        elif face.size >= _ALMOST * smallest and not any(
            intersection_over_union(box, face.box) >= _OVERLAP for box in others
        ):
            matches.append(Match(face.score, None))
    return matches


def _matched_in_all(scenes: Sequence[Scene], found: Sequence[Sequence[Face]], smallest: float) -> list[Match]:
    return [match for scene, faces in zip(scenes, found, strict=True) for match in matched(scene, faces, smallest)]


def _landmark_error(face: Face, truth: LabelledFace) -> float | None:
    if face.landmarks is None:
        return None
    points = torch.tensor(truth.landmarks)
    away = (torch.tensor(face.landmarks) - points).norm(dim=1).mean()
    return float(away / (points[1] - points[0]).norm())


def scored(
    scenes: Sequence[Scene],
    found: Sequence[Sequence[Face]],
    usual: Sequence[Sequence[Face]],
    smallest: float = SMALLEST,
) -> Scores:
    """Recall at the precision of 0.95, over all faces of a set of at least ``smallest`` pixels.

    Args:
        found: what the detector gives in each scene, down to a low score.
        usual: what it gives at the usual least score, which may be more than of ``found``: where nothing reaches the
            least score, detectors look again.
    """
    matches = _matched_in_all(scenes, found, smallest)
    matches.sort(key=lambda match: -match.score)
    right, enough = 0, 0
    for count, match in enumerate(matches, 1):
        right += match.truth is not None
        if right >= _PRECISION * count:
            enough = count
    hits = [match for match in matches[:enough] if match.truth is not None]
    faces = [face for scene in scenes for face in scene.faces if size_of(face) >= smallest]
    rolled = sum(_is_rolled(face) for face in faces)
    rolled_hits = sum(_is_rolled(match.truth) for match in hits if match.truth is not None)
    errors = [match.landmark_error for match in hits if match.landmark_error is not None]
    given = [match.truth is not None for match in _matched_in_all(scenes, usual, smallest)]
    return Scores(
        len(faces),
        matches[enough - 1].score if enough else 1.0,
        len(hits) / max(1, len(faces)),
        rolled_hits / rolled if rolled else None,
        sum(errors) / len(errors) if errors else None,
        sum(given) / max(1, len(faces)),
        len(given) - sum(given),
    )


def _is_rolled(face: LabelledFace) -> bool:
    return abs(roll_of(face.landmarks)) >= _ROLLED
