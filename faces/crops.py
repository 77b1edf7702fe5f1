"""Crops: views of faces, and the matrices that lead back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .alignment import FFHQ, Template, align
from .face import Face
from .geometry import compose, invert, resize_matrix, scale_of
from .memory import empty
from .sampling import view, within


@dataclass(frozen=True)
class Crops:
    """Where crops were taken: what travels on a FACE_CROPS socket beside the pixels.

    Attributes:
        size: side of a crop in pixels.
        width, height: size of the frames.
        batch: number of frames.
        frame_of: for each crop, its frame.
        faces: for each crop, its face.
        matrices: ``[N, 2, 3]`` float64, frame pixels to crop pixels.
        template: where in a crop a face lies.
    """

    size: int
    width: int
    height: int
    batch: int
    frame_of: tuple[int, ...]
    faces: tuple[Face, ...]
    matrices: Tensor
    template: Template = FFHQ

    def __len__(self) -> int:
        return len(self.faces)

    def take(self, indices: Sequence[int]) -> Crops:
        """The crops at these indices, in that order."""
        return replace(
            self,
            frame_of=tuple(self.frame_of[index] for index in indices),
            faces=tuple(self.faces[index] for index in indices),
            matrices=self.matrices[list(indices)],
        )

    def at_frame_size(self, width: int, height: int) -> Crops:
        """The same crops of the same frames resized to ``width`` x ``height`` pixels."""
        resized = resize_matrix(width / self.width, height / self.height)
        return replace(self, width=width, height=height, matrices=compose(self.matrices, invert(resized)))

    @property
    def native_sides(self) -> list[float]:
        """Side of each crop in frame pixels: below :attr:`size` the crop enlarges, above it shrinks."""
        return [float(side) for side in self.size / scale_of(self.matrices)]


def plan_crops(
    placed: Sequence[tuple[int, Face]],
    size: int,
    width: int,
    height: int,
    batch: int,
    template: Template = FFHQ,
) -> Crops:
    """Aligned square crops of ``size`` pixels.

    Args:
        placed: the frame of each face, and the face.
        width, height, batch: of the frames.
    """
    frame_of = tuple(frame for frame, _ in placed)
    faces = tuple(face for _, face in placed)
    return Crops(size, width, height, batch, frame_of, faces, align(faces, size, template), template)


def extract(frames: Tensor, crops: Crops) -> Tensor:
    """The pixels of crops.

    Args:
        frames: ``[B, H, W, 3 or more]`` 0..1; channels after the third are left out.

    Returns:
        ``[N, S, S, 3]`` float32 0..1 on the device of ``frames``. Beyond the frame its border is replicated.

    Raises:
        ValueError: as :func:`check_frames`.
    """
    check_frames(frames, crops.width, crops.height, crops.batch)
    size = crops.size
    pixels = empty(len(crops), size, size, 3, device=frames.device)
    for index, frame in enumerate(crops.frame_of):
        view(frames[frame, ..., :3], crops.matrices[index], size, size, out=pixels[index])
    return pixels


def extract_mask(mask: Tensor, crops: Crops) -> Tensor:
    """A MASK ``[B or 1, H, W]`` seen through crops: ``[N, S, S]`` 0..1. A single mask serves every frame."""
    size = crops.size
    pixels = torch.empty(len(crops), size, size, 1, device=mask.device)
    for index, frame in enumerate(crops.frame_of):
        plane = mask[frame if len(mask) > 1 else 0, ..., None]
        view(plane, crops.matrices[index], size, size, "bilinear", out=pixels[index])
    return pixels[..., 0]


def inside_frame(crops: Crops, device: torch.device) -> Tensor:
    """``[N, S, S]``: 1 where a crop shows the frame, 0 where it shows the border replicated beyond it."""
    shown = torch.empty(len(crops), crops.size, crops.size, device=device)
    for index, matrix in enumerate(crops.matrices):
        shown[index] = within(matrix, crops.size, crops.size, crops.height, crops.width, device)
    return shown


def check_frames(frames: Tensor, width: int, height: int, batch: int) -> None:
    """Raises ``ValueError`` unless ``frames`` ``[B, H, W, C]`` are those that faces were found in."""
    if frames.ndim != 4 or frames.shape[3] < 3:
        raise ValueError(f"Expected images [batch, height, width, 3 or 4], got {list(frames.shape)}.")
    if frames.shape[0] != batch or tuple(frames.shape[1:3]) != (height, width):
        raise ValueError(
            f"The faces were found in {batch} image(s) of {width}x{height}, but these are {frames.shape[0]} image(s) "
            f"of {frames.shape[2]}x{frames.shape[1]}. Detect the faces in the same images that you restore."
        )
