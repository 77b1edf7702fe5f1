"""Masks of the regions of faces: cut out, parsed and drawn in crop space, and put together in frames."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..faces.crops import check_frames, extract, plan_crops
from ..faces.face import Face, Faces
from ..faces.memory import zeros
from ..faces.region_layers import Layer, layers_of
from ..models.host import Host
from ..models.parsers import Parser
from .fitting import fitting_region
from .parsing import parsed_regions
from .region_settings import RegionSettings, check_regions

# Of crops of 512 px: as many are held at once, so that a long video does not hold all of its crops.
_GROUP = 64


def face_regions(
    frames: Tensor,
    faces: Faces,
    settings: RegionSettings,
    host: Host,
    parser: Parser | None = None,
    occluders: Tensor | None = None,
) -> Tensor:
    """The regions of faces as masks. Where there are no faces nothing is in a region.

    Args:
        frames: ``[B, H, W, 3 or 4]`` 0..1.
        faces: those of ``frames``.
        parser: for the regions that landmarks do not tell.
        occluders: ``[B or 1, H, W]`` 0..1: what lies in front of faces. It is in no mask, inverted or not.

    Returns:
        ``[B, H, W]`` 0..1 in pixels of the frames, or ``[N, H, W]``, a mask for each face, frame by frame.

    Raises:
        ValueError: the frames are not those that the faces were found in, or the occluders do not fit them or hold no
            numbers, or no region is chosen, or there is no parser and a face that needs one.
        InvalidOutputError: the parser gave rubbish; names the face.
        MemoryError: a single crop does not fit.
    """
    check_frames(frames, faces.width, faces.height, len(faces.frames))
    # Without a face a parser may be there and not yet loaded.
    check_regions(settings, parser is not None or faces.count == 0)
    if occluders is not None:
        occluders = fitting_region(frames, occluders, "the occluders").to(frames.device)
    each = settings.masks == "per face"
    frame_of = [frame for frame, _ in faces.placed] if each else list(range(len(frames)))
    masks = zeros(len(frame_of), *frames.shape[1:3], device=frames.device)
    for index, layer in enumerate(_layers(frames, faces, settings, host, parser)):
        if layer.box is not None:
            left, top, right, bottom = layer.box
            part = masks[index if each else layer.frame, top:bottom, left:right]
            torch.maximum(part, layer.mask, out=part)
    if settings.edges.invert:
        torch.sub(1, masks, out=masks)
    if occluders is not None:
        masks *= 1 - (occluders[frame_of] if len(occluders) > 1 else occluders)
    return masks


def _layers(
    frames: Tensor, faces: Faces, settings: RegionSettings, host: Host, parser: Parser | None
) -> Iterator[Layer]:
    """A layer for each face, frame by frame."""
    edges, regions = settings.edges, settings.parsed
    progress = host.progress(faces.count, "face regions") if regions and faces.count else None
    for group in _groups(faces.placed):
        crops = plan_crops(group, Parser.side, faces.width, faces.height, len(frames))
        masks = None
        if parser is not None and regions:
            pixels = extract(frames, crops)
            masks = parsed_regions(pixels, crops, parser, regions, edges.grow, edges.feather, progress)
        yield from layers_of(crops, masks, settings.drawn, edges.grow, edges.feather, frames.device)


def _groups(placed: list[tuple[int, Face]]) -> Iterator[list[tuple[int, Face]]]:
    for start in range(0, len(placed), _GROUP):
        yield placed[start : start + _GROUP]
