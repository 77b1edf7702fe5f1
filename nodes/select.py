"""The node that takes some of the faces."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..faces.face import Faces
from ..faces.selection import Choice, SelectSettings, choice_summary, choose, parse_places, shares_in_region
from ..fields import build
from .choice_outputs import choice_outputs, choice_values
from .given_faces import faces_of
from .images import region_in
from .node_ui import report_ui
from .setting_widgets import setting_widgets
from .types import FacesSocket


class SelectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSelectFaces",
            display_name="Select Faces",
            category="Visage",
            description=(
                "Selects and orders faces by size, place, pose, score, label or region, and says why the others were "
                "left out."
            ),
            search_aliases=["filter faces", "sort faces", "pick face", "face index", "largest face", "segs filter"],
            has_intermediate_output=True,
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces."),
                *setting_widgets(SelectSettings),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip=(
                        "For region_rule: the part of the image in which faces are taken, or are not. Must be of the "
                        "size of the image; the black 64x64 mask that Load Image gives for an image without alpha "
                        "counts as no region."
                    ),
                ),
            ],
            outputs=choice_outputs("The faces that were taken, in the order that was asked for, numbered anew."),
        )

    @classmethod
    def validate_inputs(cls, indices: str | None = None) -> bool | str:
        # From a link they are still unknown here and arrive as None.
        try:
            parse_places(indices or "", 0)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, faces: Faces, region: Tensor | None = None, **inputs: Any) -> io.NodeOutput:
        faces = faces_of(faces)
        choices = choices_of(faces, build(SelectSettings, inputs), region)
        taken, others, text, number = choice_values(faces, choices)
        return io.NodeOutput(taken, others, text, number, ui=report_ui(text, choice_summary(choices)))


def choices_of(faces: Faces, settings: SelectSettings, region: Tensor | None) -> list[Choice]:
    """What becomes of the faces of each frame.

    Raises:
        ValueError: the region is none (:func:`region_in`) or of another size than the frames, or the indices cannot be
            read.
    """
    width, height, frames = faces.width, faces.height, len(faces.frames)
    layers = region_in(region, height, width)
    if layers is None:
        return [choose(found, width, height, settings) for found in faces.frames]
    number, tall, wide = layers.shape
    if (wide, tall) != (width, height) or number not in (1, frames):
        raise ValueError(
            f"The region must be of the size of the image, {width} x {height} pixels, for each of {frames} image(s) or "
            f"one for all. It has {number} of {wide} x {tall}."
        )
    return [
        choose(found, width, height, settings, shares_in_region(found, layer))
        for found, layer in zip(faces.frames, layers.expand(frames, -1, -1), strict=True)
    ]
