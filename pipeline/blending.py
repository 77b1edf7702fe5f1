"""Putting crops back: matches their colour, makes their masks, and has :mod:`..faces.paste` blend them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.alignment import are_of_a_face
from ..faces.colour import match_colour
from ..faces.crops import Crops, extract, extract_mask, inside_frame
from ..faces.detail import Comparison
from ..faces.geometry import apply
from ..faces.masks import FEATHER, MaskShape, ellipse, hull, soft_square
from ..faces.memory import duplicate
from ..faces.paste import Patch, Place, blend, lay_out, places_in, places_of, reaches_into
from ..fields import setting
from ..models.parsers import Parser
from .fitting import check_enlargement
from .parsing import check_parser, parsed_faces

# A landmark hull reaches this share of an FFHQ crop beyond the eyes, nose and mouth: to the brows and the jaw.
_HULL_GROW = 0.14
TOGETHER = 8
"""Crops that are cut out, worked on and matched in colour at once: what that takes in between does not grow with the
number of faces in a frame."""


@dataclass(frozen=True)
class BlendSettings:
    """How crops are put back.

    Attributes:
        strength: how much of a crop is blended in, 0..1.
        colour: how much of the original's colour it is given, 0..1.
        mask: shape of the part that is put back.
        feather: softness of its edge, standard deviation as a share of the crop.
    """

    strength: float = setting(
        1.0,
        "How much of the result is blended in. At 0 the image passes through and nothing is computed.",
        low=0.0,
        high=1.0,
        step=0.01,
    )
    colour: float = setting(
        1.0,
        "How closely the colours of the faces are matched to those in the image. 0: not at all.",
        name="colour_match",
        option="colour",
        low=0.0,
        high=1.0,
        step=0.01,
    )
    mask: MaskShape = setting(
        "square",
        "The part of a face's crop that is put back: square takes hair and neck along, ellipse is the face from "
        "hairline to chin, hull is brows, eyes, nose and mouth (it needs landmarks; without them it is an ellipse), "
        "parse is face and hair as a parser sees them, without background, neck and clothes.",
        name="mask_shape",
        option="mask",
    )
    feather: float = setting(
        FEATHER,
        "Softness of the edge, as a share of the crop: equally soft for small and for large faces.",
        low=0.005,
        high=0.15,
        step=0.005,
        advanced=True,
    )


def paste_crops(
    frames: Tensor, crops: Crops, pixels: Tensor, settings: BlendSettings, parser: Parser | None = None
) -> tuple[Tensor, Tensor]:
    """Puts crops back where they were taken, after whatever was done to them.

    Args:
        frames: ``[B, H, W, 3 or 4]`` 0..1, those that the crops were taken from or an enlargement of them.
        pixels: ``[N, S, S, 3]`` 0..1, in the order of ``crops``, of any side ``S``.
        parser: finds the face in the crops where the mask is "parse".

    Returns:
        The frames, the very tensor that was given where nothing was done, and what changed, ``[B, H, W]`` 0..1.

    Raises:
        ValueError: the crops are of another number, not square, or from other frames, or there is no parser where one
            is needed.
        InvalidOutputError, MemoryError: as :func:`~.parsing.parsed_faces`.
    """
    if len(pixels) != len(crops):
        raise ValueError(f"There are {len(pixels)} crops for {len(crops)} faces. Give all crops back, in their order.")
    if pixels.shape[1] != pixels.shape[2]:
        raise ValueError(
            f"The crops are {pixels.shape[2]}x{pixels.shape[1]}. They may be enlarged or shrunk, but must stay square."
        )
    check_enlargement("image", frames, crops.batch, crops.width, crops.height)
    check_parser(settings.mask, parser)
    changed = torch.zeros(frames.shape[:3], device=frames.device)
    if len(crops) == 0 or settings.strength == 0:
        return frames, changed
    result = duplicate(frames)
    places = crops.at_frame_size(frames.shape[2], frames.shape[1])
    pixels = pixels.to(frames.device)
    patches: list[Patch] = []
    for start in range(0, len(crops), TOGETHER):
        end = min(start + TOGETHER, len(crops))
        here, new, parsed = places.take(range(start, end)), pixels[start:end], None
        if parser and settings.mask == "parse":
            parsed = parsed_faces(new, here, parser, settings.feather)
        if settings.colour > 0:
            new = in_given_colours(new, extract(frames, here), here, settings.colour)
        patches += [patch for patch in patches_of(frames, here, new, settings, parsed=parsed) if patch is not None]
    blend(result, changed, frames, patches, settings.strength)
    return result, changed


def in_given_colours(pixels: Tensor, given: Tensor, crops: Crops, strength: float) -> Tensor:
    """New crops ``[N, S, S, 3]`` with the colours of the old ones.

    Args:
        given: ``[N, T, T, 3]`` 0..1 with the side ``T`` of ``crops``: the crops as they were cut out.
        strength: how much they are given these, 0..1.
    """
    if len(crops) == 0 or strength == 0:
        return pixels
    # It is the same face, so all of the crop counts, the face itself included.
    shown = inside_frame(crops, pixels.device)
    return match_colour(pixels, given.to(pixels.device), shown, strength)


def patches_of(
    canvas: Tensor,
    crops: Crops,
    pixels: Tensor,
    settings: BlendSettings,
    region: Tensor | None = None,
    parsed: Tensor | None = None,
    comparison: Comparison | None = None,
) -> list[Patch | None]:
    """For each new crop ``[N, S, S, 3]`` 0..1 a patch to be blended into ``canvas``, with the mask of the settings;
    ``None`` where it does not reach into its frame.

    Args:
        region: ``[B or 1, H, W]`` 0..1 in frame pixels: where anything may change.
        parsed: ``[N, T, T]`` 0..1 with the side ``T`` of ``crops``, from :func:`~.parsing.parsed_faces`: a limit to the
            mask.
        comparison: as :func:`~..faces.paste.lay_out` takes it.
    """
    if len(crops) == 0:
        return []
    masks = _masks(crops, settings, pixels.device)
    if parsed is not None:
        # The less of the two, as in CodeFormer: no hard edge where hair goes on beyond the crop.
        masks = torch.minimum(masks, parsed)
    return lay_out(canvas, crops, pixels, masks, region, comparison)


def places_beside(canvas: Tensor, crops: Crops, settings: BlendSettings, patches: Sequence[Patch]) -> list[Place]:
    """The places in ``canvas`` of those crops that any of the patches reaches into."""
    places = crops.at_frame_size(canvas.shape[2], canvas.shape[1])
    near = [
        index
        for index, (_, box) in enumerate(places_of(places))
        if box is not None and any(reaches_into(patch, crops.frame_of[index], box) for patch in patches)
    ]
    beside = crops.take(near)
    masks = _masks(beside, settings, canvas.device) if near else canvas.new_empty(0, 1, 1)
    return [place for place in places_in(canvas, beside, masks) if place is not None]


def reaches(region: Tensor, crops: Crops, settings: BlendSettings) -> list[bool]:
    """Whether anything of each crop would be put back within a region ``[B or 1, H, W]`` 0..1 in frame pixels."""
    seen = extract_mask(region, crops)
    found: list[bool] = (seen * _masks(crops, settings, seen.device)).flatten(1).any(1).tolist()
    return found


def _masks(crops: Crops, settings: BlendSettings, device: torch.device) -> Tensor:
    """``[N, S, S]``"""
    if settings.mask == "hull":
        return torch.stack([_hull_mask(crops, index, settings.feather, device) for index in range(len(crops))])
    if settings.mask == "ellipse":
        mask = ellipse(crops.size, settings.feather, device, crops.template)
    else:
        mask = soft_square(crops.size, settings.feather, device)
    return mask.expand(len(crops), -1, -1)


def _hull_mask(crops: Crops, index: int, feather: float, device: torch.device) -> Tensor:
    landmarks = crops.faces[index].landmarks
    if landmarks is None or not are_of_a_face(landmarks, crops.template):
        return ellipse(crops.size, feather, device, crops.template)
    seen = apply(crops.matrices[index], torch.tensor(landmarks, dtype=torch.float64)).tolist()
    grow = _HULL_GROW * crops.template.face_scale
    return hull(tuple((x, y) for x, y in seen), crops.size, grow, feather, device)
