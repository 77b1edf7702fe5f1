"""Which faces of successive frames are the same one."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import takewhile

from ..face import Face, Faces, Point

# How far from where it was expected a face may be, in its own sizes, and how much further for each frame in which it
# was not seen; and how many times as large it may have become.
_FARTHEST, _FARTHER, _LARGER = 0.5, 0.1, 1.6
# The frames before the last one from which is told where a face moves.
_PAST = 4


@dataclass
class _Track:
    """What has been seen of one face: by number of the frame, in order."""

    seen: dict[int, Face] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return next(reversed(self.seen))

    def distance(self, frame: int, face: Face) -> float:
        """How far a face of a later frame is from where this one is expected, in their sizes.

        Infinite where it is another one for sure.
        """
        then = self.seen[self.last]
        sizes = math.sqrt(then.width * then.height), math.sqrt(face.width * face.height)
        if face.label != then.label or max(sizes) > _LARGER * min(sizes):
            return math.inf
        distance = math.dist(self._expected(frame), face.centre) / math.sqrt(sizes[0] * sizes[1])
        return distance if distance < _FARTHEST + _FARTHER * (frame - self.last - 1) else math.inf

    def _expected(self, frame: int) -> Point:
        """Where the face would be if it moved on as it did in the last few frames."""
        (x, y), last = self.seen[self.last].centre, self.last
        *_, first = takewhile(lambda number: number >= last - _PAST, reversed(self.seen))
        if first == last:
            return x, y
        before = self.seen[first].centre
        ahead = (frame - last) / (last - first)
        return x + (x - before[0]) * ahead, y + (y - before[1]) * ahead


def follow(faces: Faces, cuts: Collection[int], patience: int) -> list[dict[int, Face]]:
    """The faces of all frames, those that are the same one together.

    Of all pairs of a face that was followed and one of the next frame the nearest go together first. Which of two
    people who change places between two frames is which, nobody is asked.

    Args:
        cuts: numbers of frames with which a new shot begins: no face is followed into them.
        patience: the number of frames in a row in which a face may be missing.

    Returns:
        For each face that was followed, what was seen of it by number of the frame, in order; those first that are
        seen first, then in the order of the frame.
    """
    tracks: list[_Track] = []
    followed: list[_Track] = []
    for number, found in enumerate(faces.frames):
        followed = [] if number in cuts else [each for each in followed if number - each.last <= patience + 1]
        distances = {
            (one, other): distance
            for one, track in enumerate(followed)
            for other, face in enumerate(found)
            if math.isfinite(distance := track.distance(number, face))
        }
        waiting = dict(enumerate(found))
        free = set(range(len(followed)))
        for one, other in sorted(distances, key=lambda pair: (distances[pair], pair)):
            if one in free and other in waiting:
                free.remove(one)
                followed[one].seen[number] = waiting.pop(other)
        new = [_Track({number: face}) for face in waiting.values()]
        tracks += new
        followed += new
    return [track.seen for track in tracks]
