"""The node that does the whole job: find faces, restore them, put them back."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..faces.face import Faces
from ..faces.masks import MaskShape
from ..fields import build
from ..models.detectors import DetectionSettings, Detector
from ..models.parsers import Parser
from ..models.restorers import Restorer
from ..pipeline import RestoreSettings, restore
from .face_source import face_source_inputs, faces_in, lazy_status
from .images import frames_of, region_in, to_socket
from .lazy import missing
from .node_ui import compare_input, outcome_texts, passed_through, work_ui
from .parser_input import parser_input
from .setting_widgets import setting_widgets
from .types import LoadedModel, RestorerSocket

# Saved workflows keep the values of widgets in this order.
_FIRST = (
    "fidelity",
    "strength",
    "colour_match",
    "mask_shape",
    "feather",
    "min_face",
    "max_faces",
    "only_center",
)
_LAST = ("steps", "seed", "adain", "grain")


class RestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageRestoreFaces",
            display_name="Restore Faces",
            category="Visage",
            description=(
                "Finds faces, restores them and puts them back. Pixels outside the faces stay as they are, bit for bit."
            ),
            search_aliases=[
                "face restoration",
                "face fix",
                "fix faces",
                "gfpgan",
                "codeformer",
                "restoreformer",
                "reactor",
                "facerestore",
                "facedetailer",
                "adetailer",
                "upscale face",
            ],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="One image or a batch. Alpha is kept."),
                RestorerSocket.Input("restorer", lazy=True, tooltip="From Load Face Restorer."),
                *face_source_inputs(),
                *setting_widgets(RestoreSettings, only=_FIRST),
                *setting_widgets(DetectionSettings, only=["confidence"]),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip=(
                        "Where anything may change: white. CodeFormer inpainting fills this part. Must be of the size "
                        "of the image; the black 64x64 mask that Load Image gives for an image without alpha counts "
                        "as no mask."
                    ),
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip=(
                        "The same image enlarged, from Upscale Image (using Model) for example. The faces are put into "
                        "this one instead, at its resolution."
                    ),
                ),
                *setting_widgets(RestoreSettings, only=["alignment"]),
                parser_input(),
                *setting_widgets(RestoreSettings, only=_LAST),
                compare_input(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image, or the background where connected, with restored faces."),
                io.Mask.Output("mask", tooltip="How much of each pixel was replaced, 0 to 1."),
                io.String.Output("report", tooltip="What was done to each face, and why nothing was done to others."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, strength: float, mask_shape: MaskShape, **inputs: Any) -> list[str]:
        if strength == 0:
            return missing(inputs, ["image"])
        return lazy_status(inputs, ["restorer", "parser"] if mask_shape == "parse" else ["restorer"])

    @classmethod
    def execute(
        cls,
        image: Tensor,
        restorer: LoadedModel[Restorer] | None = None,
        detector: LoadedModel[Detector] | None = None,
        faces: Faces | None = None,
        region: Tensor | None = None,
        background: Tensor | None = None,
        parser: LoadedModel[Parser] | None = None,
        **inputs: Any,
    ) -> io.NodeOutput:
        settings = build(RestoreSettings, inputs)
        given = image if background is None else background
        if settings.blend.strength == 0:
            return passed_through(given, "Nothing was done: strength is 0.")
        frames = frames_of(image)
        canvas = frames if background is None else frames_of(background)
        found = faces_in(frames, detector, faces, inputs["confidence"])
        if restorer is None or found.count == 0:
            return passed_through(given, *outcome_texts([() for _ in found.frames], "restored"))
        done = restore(
            frames,
            found,
            restorer.network,
            restorer.host,
            settings,
            None if background is None else canvas,
            region_in(region, *image.shape[1:3]),
            None if parser is None else parser.network,
        )
        text, total = outcome_texts(done.outcomes, "restored")
        if done.frames is canvas:
            return passed_through(given, text, total)
        shown = work_ui(cls, text, total, frames, done.frames, done.outcomes)
        return io.NodeOutput(to_socket(done.frames), to_socket(done.changed), text, ui=shown)
