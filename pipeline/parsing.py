"""Which part of a new crop is face, as a parser sees it: the mask that facexlib and CodeFormer paste with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..faces.crops import Crops
from ..faces.masks import FEATHER
from ..faces.regions import FACE_REGIONS, Region
from ..models.host import Progress
from ..models.inference import InvalidOutputError
from ..models.parsers import Parser

# facexlib blurs the face twice with a standard deviation of 11 px of 512, which is once with 15.6 px. For each unit of
# the feather, so that the usual feather gives the usual mask.
_SOFTER = math.sqrt(2) * 11 / 512 / FEATHER


def check_parser(shape: str, parser: Parser | None) -> None:
    """Raises ``ValueError`` where a shape of mask is asked for that needs a parser, and there is none."""
    if shape == "parse" and parser is None:
        raise ValueError(
            "The mask shape parse needs a face parser: connect one (Load Face Parser), or choose another mask shape."
        )


def parsed_faces(
    pixels: Tensor, crops: Crops, parser: Parser, feather: float = FEATHER, progress: Progress | None = None
) -> Tensor:
    """``[N, S, S]`` 0..1 with the side ``S`` of ``crops``: the face and its hair, with soft edges.

    Args:
        pixels: ``[N, T, T, 3]`` 0..1, what the crops became, of any side ``T``.
        feather: as of the square mask; these edges are twice as soft.
        progress: told of every crop that is done.

    Raises:
        InvalidOutputError: the parser gave rubbish; names it and the face.
        MemoryError: a single crop does not fit.
    """
    mask = parsed_regions(pixels, crops, parser, FACE_REGIONS, feather=_SOFTER * feather, progress=progress)
    if mask.shape[-1] == crops.size:
        return mask
    shrinks = mask.shape[-1] > crops.size
    return F.interpolate(mask[:, None], (crops.size, crops.size), mode="bilinear", antialias=shrinks)[:, 0]


def parsed_regions(
    pixels: Tensor,
    crops: Crops,
    parser: Parser,
    regions: Sequence[Region],
    grow: float = 0.0,
    feather: float = 0.0,
    progress: Progress | None = None,
) -> Tensor:
    """``[N, 512, 512]`` 0..1: :meth:`Parser.mask <visage.models.parsers.Parser.mask>`, its errors naming the face.

    Args:
        pixels: ``[N, S, S, 3]`` 0..1, the crops.

    Raises:
        InvalidOutputError: the parser gave rubbish; names it and the face.
        MemoryError: a single crop does not fit.
    """
    try:
        return parser.mask(pixels.movedim(-1, 1), regions, grow, feather, progress)
    except InvalidOutputError as error:
        first = error.positions[0]
        face = f"face {crops.faces[first].index + 1} of image {crops.frame_of[first] + 1}"
        raise InvalidOutputError(parser.name, face, error.positions) from error
