"""Looks again at what the first network of visage-detect takes for faces.

The second network says of each where its landmarks are and how likely it is a face. Of those that this leaves doubtful
the first one sees two views as well, upright and at sizes that it knows best: true faces of any size look like faces
there, and most of what only seems to be one in the whole picture does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..host import layout_on
from ..inference import check_numbers
from .candidates import Candidates, joined
from .face_views import Framing, seen, views_of
from .visage_finder import Predictions, VisageDetect, cells_of, decoded
from .visage_landmarks import FRAMING, LandmarkNetwork

# Of the least score: what is less likely after its first look by the second network is not looked at again.
_LEAST_KEPT = 0.8
# Faces that the second network sees at once, mirror images beside them.
_VIEWS_AT_ONCE = 64
# What is at least this likely after two looks by the second network is a face without the doubts of the first.
_SURE = 0.8
# What the first network sees of doubtful faces: eyes 20 and 32 pixels apart, faces of about 45 and 75 pixels. Of nine
# pairs of views tried, this one cost least among those that part faces from other things.
_CLOSER = (Framing(side=128, zoom=0.16), Framing(side=128, zoom=0.255))
_CLOSER_AT_ONCE = 16
# Landmarks of one face, seen twice, lie less than this share of the distance of its eyes apart.
_SAME_FACE = 0.5
# Logit where the first network gives nothing at all at the place of the face.
_NOTHING = -8.0
# The closer look counts half of what the others do; as many true faces stay likelier than 0.5 as without it.
_WEIGHT = 0.5
_SHIFT = 0.2

BYTES = 64 * 2**20
"""Working memory for the views: four layers of the finest features of the second network; the first needs less."""


@torch.inference_mode()
def judged(
    detect: VisageDetect, points: LandmarkNetwork, pictures: Tensor, found: Sequence[Candidates], min_score: float
) -> list[Candidates]:
    """Candidates with landmarks of the second network and scores in which both networks have a say, best first.

    Args:
        detect: the first network.
        points: the second one.
        pictures: ``[N, 3, h, w]``.
        found: in each of them, with landmarks.
        min_score: candidates below it may be left out.
    """
    owners = torch.cat([torch.full_like(one.labels, index) for index, one in enumerate(found)])
    together = joined(found)
    if together.landmarks is None or not len(together):
        return list(found)
    # From the centre of the first pixel to its edge.
    landmarks, logits = _landmarks_and_logits(points.forward, pictures, owners, together.landmarks + 0.5)
    kept = (_joint_score(together.scores, logits) >= _LEAST_KEPT * min_score).nonzero()[:, 0]
    together, owners, landmarks, logits = together.select(kept), owners[kept], landmarks[kept], logits[kept]
    if len(kept):
        # Once more in the view that these landmarks give, and in its mirror image.
        landmarks, logits = _landmarks_and_logits(points.seen_twice, pictures, owners, landmarks)
    scores = _joint_score(together.scores, logits)
    doubtful = ((scores < _SURE) & (scores >= _LEAST_KEPT * min_score)).nonzero()[:, 0]
    if len(doubtful):
        closer = _closer_logits(detect, pictures, owners[doubtful], landmarks[doubtful])
        evidence = scores[doubtful].logit() + _WEIGHT * closer + _SHIFT
        scores[doubtful] = evidence.sigmoid().clamp(max=_SURE)
    order = scores.argsort(descending=True, stable=True)
    better = replace(together, landmarks=landmarks - 0.5, scores=scores)
    return [_each_once(better.select(order[owners[order] == index])) for index in range(len(found))]


def _each_once(candidates: Candidates) -> Candidates:
    """Candidates of one picture, best first, less those with the landmarks of a better one.

    A face that is seen at several sizes may have boxes so unlike that their overlap does not tell.
    """
    if candidates.landmarks is None:
        return candidates
    points = candidates.landmarks.cpu()
    eyes = (points[:, 1] - points[:, 0]).norm(dim=1)
    # Root of the mean square of five distances.
    apart = torch.cdist(points.flatten(1), points.flatten(1)) / math.sqrt(5)
    same = apart < _SAME_FACE * torch.minimum(eyes[:, None], eyes)
    left = torch.ones(len(points), dtype=torch.bool)
    for index in range(len(points)):
        if left[index]:
            left[index + 1 :] &= ~same[index, index + 1 :]
    return candidates.select(left.nonzero()[:, 0].to(candidates.boxes.device))


def _joint_score(first: Tensor, logits: Tensor) -> Tensor:
    return (first * logits.sigmoid()).sqrt()


def _landmarks_and_logits(
    look: Callable[[Tensor], tuple[Tensor, Tensor]], pictures: Tensor, owners: Tensor, landmarks: Tensor
) -> tuple[Tensor, Tensor]:
    """Landmarks ``[K, 5, 2]`` and logits ``[K]`` after one more look at faces with the landmarks so far."""
    told = []
    for some, there in zip(torch.split(owners, _VIEWS_AT_ONCE), torch.split(landmarks, _VIEWS_AT_ONCE), strict=True):
        views = views_of(there, FRAMING)
        shown = seen(pictures, some, views)
        points, logits = look(shown)
        # Landmarks of the first network that lie in one place give a view that holds no numbers itself.
        sound = shown.isfinite().flatten(1).all(1)
        check_numbers("The second network of visage-detect", "a face", (logits[sound], points[sound]))
        told.append((views.to_picture(points), logits))
    points, logits = (torch.cat(parts) for parts in zip(*told, strict=True))
    return points, logits


def _closer_logits(detect: VisageDetect, pictures: Tensor, owners: Tensor, landmarks: Tensor) -> Tensor:
    """``[K]``: how likely the first network finds faces with these landmarks, the mean over :data:`_CLOSER`."""
    told = []
    for some, there in zip(torch.split(owners, _CLOSER_AT_ONCE), torch.split(landmarks, _CLOSER_AT_ONCE), strict=True):
        looks = []
        for framing in _CLOSER:
            views = views_of(there, framing)
            layout = layout_on(there.device, torch.channels_last)
            maps = detect(seen(pictures, some, views).contiguous(memory_format=layout))
            predictions = decoded(maps, cells_of(framing.side, framing.side, there.device))
            looks.append(_logits_at(predictions, views.to_view(there), framing))
        told.append(torch.stack(looks).mean(0))
    return torch.cat(told)


def _logits_at(predictions: Predictions, landmarks: Tensor, framing: Framing) -> Tensor:
    """``[K]``: the surest prediction of each view among those with about the landmarks ``[K, 5, 2]``."""
    mean = framing.mean_face(landmarks)
    apart = (predictions.landmarks - landmarks[:, None]).norm(dim=-1).mean(-1)
    elsewhere = apart > _SAME_FACE * (mean[1, 0] - mean[0, 0])
    return predictions.logits.masked_fill(elsewhere, _NOTHING).amax(1)
