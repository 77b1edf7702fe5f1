"""From landmarks, or a box, to the matrix that takes a frame to an upright crop of one face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .face import Face, Point
from .geometry import OUTLIER_SCALE, compose, fit_similarity, resize_matrix


@dataclass(frozen=True)
class Template:
    """Where the five landmarks must land in a square crop.

    Attributes:
        size: side of the crop, in pixels, that ``points`` is given for.
        points: the eyes, the nose tip, the mouth corners, from left to right as seen.
        box_share: side of the crop divided by the longer side of a detector's box. Used where there are no landmarks.
        box_rise: how far above the centre of the box the centre of the crop lies, as a share of the box.
        face_scale: size of a face in the crop over its size in an FFHQ crop, both as shares of the crop.
        face_shift: how far to the right and down a face then lies from its place in an FFHQ crop, as shares of the
            crop: ``place = face_scale * place_in_ffhq + face_shift``.
    """

    size: int
    points: tuple[Point, Point, Point, Point, Point]
    box_share: float
    box_rise: float
    face_scale: float = 1.0
    face_shift: tuple[float, float] = (0.0, 0.0)


# Box shares and rises are medians over the 60 faces of 40 px and more in the dlib photographs, with boxes of four
# detectors (YOLOv8 1.34 and 0.066, RetinaFace 1.37 and 0.076, YuNet 1.38 and 0.085) and landmarks of yolov8n-face.
# `tests/test_alignment_photographs.py` holds them there. ArcFace's follow from the proportions of the templates.
FFHQ = Template(
    512,
    (
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ),
    box_share=1.35,
    box_rise=0.07,
)
"""The template of GFPGAN, CodeFormer and RestoreFormer (facexlib's ``FaceRestoreHelper``)."""

ARCFACE = Template(
    112,
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
    box_share=1.06,
    box_rise=0.07,
)
"""The template of ArcFace and of most embedding networks (insightface, ``arcface_dst``)."""

# Medians over the same faces and boxes of YOLOv8 and RetinaFace (shares 1.49 and 1.53, rises 0.067 and 0.083), and of
# where their FFHQ crop lies in their GPEN crop. The closest similarity between the templates says nearly the same: a
# scale of 0.890, a shift of (0.054, 0.061), hence a share of 1.517 and a rise of 0.078.
GPEN = Template(
    512,
    (
        (202.0407, 242.8840),
        (309.4302, 242.2900),
        (256.0768, 303.9592),
        (211.9598, 366.8282),
        (300.8911, 366.3363),
    ),
    box_share=1.51,
    box_rise=0.075,
    face_scale=0.895,
    face_shift=(0.052, 0.06),
)
"""The template of GPEN: ArcFace's with a quarter of its side added all around (``(x + 28) * 512 / 168``; authors'
``align_faces.py``, inner padding 0.25). It shows more hair, neck and background than FFHQ's."""

# Landmarks that fit no better than this, in pixels of a 512 crop, are not those of a face: the box is used instead.
# Among the same 60 faces the median is 9, the worst profile 41; with left and right mixed up it is above 70.
MAX_RESIDUAL = 60.0

MIRRORED = (1, 0, 2, 4, 3)
"""Which of the five landmarks stands at the place of each one in the mirror image."""


def left_to_right(landmarks: Tensor) -> Tensor:
    """Landmarks ``[N, 5, 2]`` in the order in which an upright face shows them, whatever way it is turned.

    Detectors disagree on whose left is meant. With the wrong order the fit to the template collapses, because a
    similarity never mirrors; so eyes and mouth corners are swapped where the face fits better that way.
    """
    given = landmarks.double().cpu()
    orders = torch.stack((given, given[:, MIRRORED]))
    _, residual = fit_similarity(orders, torch.tensor(FFHQ.points, dtype=torch.float64), OUTLIER_SCALE)
    wrong = residual[1].square().sum(-1) < residual[0].square().sum(-1)
    return torch.where(wrong[:, None, None], orders[1], orders[0])


def align(faces: Sequence[Face], size: int, template: Template = FFHQ) -> Tensor:
    """Matrices from the frame to an aligned crop of ``size`` pixels, one for each face.

    Faces without landmarks, or with landmarks that are not those of a face, get a square around their box, turned
    upright where the roll is known.

    Returns:
        ``[N, 2, 3]`` float64.
    """
    matrices = torch.empty(len(faces), 2, 3, dtype=torch.float64)
    with_landmarks = [index for index, face in enumerate(faces) if face.landmarks is not None]
    boxed = {index for index, face in enumerate(faces) if face.landmarks is None}
    if with_landmarks:
        points = torch.tensor([faces[index].landmarks for index in with_landmarks], dtype=torch.float64)
        matrices[with_landmarks], fits = _fitted(points, template)
        boxed |= {index for index, good in zip(with_landmarks, fits.tolist(), strict=True) if not good}
    for index in boxed:
        matrices[index] = _box_matrix(faces[index], template)
    return compose(resize_matrix(size / template.size), matrices)


def are_of_a_face(landmarks: Sequence[Point], template: Template = FFHQ) -> bool:
    """Whether five landmarks lie as those of a face do, so that :func:`align` goes by them."""
    points = torch.tensor([list(landmarks)], dtype=torch.float64)
    return bool(_fitted(points, template)[1])


def _fitted(points: Tensor, template: Template) -> tuple[Tensor, Tensor]:
    """Similarities ``[N, 2, 3]`` from landmarks ``[N, 5, 2]`` to those of a template, and whether they fit, ``[N]``."""
    unit = template.size / FFHQ.size
    target = torch.tensor(template.points, dtype=torch.float64)
    matrices, residual = fit_similarity(points, target, OUTLIER_SCALE * unit)
    return matrices, residual.square().mean(-1).sqrt() <= MAX_RESIDUAL * unit


def _box_matrix(face: Face, template: Template) -> Tensor:
    side = max(face.size, 1.0) * template.box_share
    scale = template.size / side
    angle = torch.deg2rad(torch.tensor(-(face.roll or 0.0), dtype=torch.float64))
    turn = scale * torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])],
    )
    centre = torch.tensor(face.centre, dtype=torch.float64)
    middle = torch.full((2,), (template.size - 1) / 2, dtype=torch.float64)
    # "Above" is measured along the face's own upright axis, hence in crop pixels.
    rise = torch.tensor([0.0, template.box_rise * face.size * scale], dtype=torch.float64)
    return torch.cat([turn, (middle + rise - turn @ centre)[:, None]], dim=1)
