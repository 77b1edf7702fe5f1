"""The node that does the whole job: find faces, restore them, put them back."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..faces.face import Faces
from ..faces.masks import MaskShape
from ..faces.selection import Selection
from ..models.detectors import Detector
from ..models.parsers import Parser
from ..models.restorers import DEFAULT_OPTIONS, RestoreOptions, Restorer
from ..pipeline import Alignment, BlendSettings, RestoreSettings, restore
from .images import frames_of, region_of, to_socket, unchanged
from .settings import (
    adain_input,
    alignment_input,
    colour_input,
    confidence_input,
    feather_input,
    parser_input,
    seed_input,
    shape_input,
    steps_input,
    strength_input,
)
from .sources import are_there_faces, faces_in, source_inputs
from .types import LoadedModel, RestorerSocket


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
            inputs=[
                io.Image.Input("image", tooltip="One image or a batch. Alpha is kept."),
                RestorerSocket.Input("restorer", lazy=True, tooltip="From Load Face Restorer."),
                *source_inputs(),
                io.Float.Input(
                    "fidelity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "0: the best looking face. 1: the face most like the one in the image. "
                        "Acts in CodeFormer and VQFR 2 only."
                    ),
                ),
                strength_input("restored faces"),
                colour_input(1.0),
                shape_input(),
                feather_input(),
                io.Int.Input(
                    "min_face",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Faces whose longer side is smaller than this many pixels are left as they are.",
                ),
                io.Int.Input(
                    "max_faces",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Only the largest faces of each image. 0: all of them.",
                ),
                io.Boolean.Input(
                    "only_center", default=False, tooltip="Only the face nearest to the middle of each image."
                ),
                confidence_input(),
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
                alignment_input(),
                parser_input(),
                steps_input(),
                seed_input(),
                adain_input(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image, or the background where connected, with restored faces."),
                io.Mask.Output("mask", tooltip="How much of each pixel was replaced, 0 to 1."),
            ],
        )

    @classmethod
    def validate_inputs(cls, restorer: None = None, detector: str | None = "", faces: str | None = "") -> bool | str:
        # The restorer is named so that there is an input to show the message at.
        return are_there_faces(detector, faces)

    @classmethod
    def check_lazy_status(cls, strength: float, mask_shape: MaskShape, **inputs: Any) -> list[str]:
        if strength == 0:
            return []
        models = ["restorer", "parser"] if mask_shape == "parse" else ["restorer"]
        if "faces" not in inputs:
            models = ["detector", *models]
        elif inputs["faces"] is None:
            return ["faces"]
        elif inputs["faces"].count == 0:
            return []
        return [name for name in models if name in inputs and inputs[name] is None]

    @classmethod
    def execute(
        cls,
        image: Tensor,
        fidelity: float,
        strength: float,
        colour_match: float,
        mask_shape: MaskShape,
        feather: float,
        min_face: int,
        max_faces: int,
        only_center: bool,
        confidence: float,
        restorer: LoadedModel[Restorer] | None = None,
        detector: LoadedModel[Detector] | None = None,
        faces: Faces | None = None,
        region: Tensor | None = None,
        background: Tensor | None = None,
        alignment: Alignment = "model",
        parser: LoadedModel[Parser] | None = None,
        steps: int = DEFAULT_OPTIONS.steps,
        seed: int = DEFAULT_OPTIONS.seed,
        adain: bool = DEFAULT_OPTIONS.adain,
    ) -> io.NodeOutput:
        given = image if background is None else background
        if strength == 0:
            return unchanged(given)
        frames = frames_of(image)
        canvas = frames if background is None else frames_of(background)
        found = faces_in(frames, detector, faces, confidence)
        if restorer is None or found.count == 0:
            return unchanged(given)
        done = restore(
            frames,
            found,
            restorer.network,
            restorer.host,
            RestoreSettings(
                options=RestoreOptions(fidelity, steps, seed, adain),
                blend=BlendSettings(strength, colour_match, mask_shape, feather),
                selection=Selection(min_size=min_face, max_count=max_faces, only_center=only_center),
                alignment=alignment,
            ),
            None if background is None else canvas,
            region_of(region, image),
            None if parser is None else parser.network,
        )
        if done.frames is canvas:
            return unchanged(given)
        return io.NodeOutput(to_socket(done.frames), to_socket(done.changed))
