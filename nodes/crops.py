"""The nodes that take faces out of an image and put them back, for work in between."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..faces.crops import Crops, check_frames, extract, plan_crops
from ..faces.face import Faces
from ..faces.masks import MaskShape
from ..fields import build
from ..models.parsers import Parser
from ..pipeline import BlendSettings, paste_crops
from .given_faces import faces_of
from .images import frames_of, nothing_changed, to_socket
from .lazy import missing
from .parser_input import parser_input
from .setting_widgets import setting_widgets
from .types import FaceCropsSocket, FacesSocket, LoadedModel


class CropFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageCropFaces",
            display_name="Crop Faces",
            category="Visage",
            description="Cuts out every face, upright and at the same size, as a batch of square images.",
            search_aliases=["align faces", "face crop", "extract faces", "aligned face", "autocrop faces"],
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the faces were found in."),
                FacesSocket.Input("faces", tooltip="From Detect Faces."),
                io.Int.Input(
                    "size",
                    default=512,
                    min=64,
                    max=2048,
                    step=8,
                    tooltip="Side of the crops in pixels. Restorers of faces are made for 512.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "crops",
                    tooltip=(
                        "One crop per face, image by image in reading order. A single grey one if there is no face."
                    ),
                ),
                FaceCropsSocket.Output("face_crops", tooltip="Where the crops came from: for Paste Faces."),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, faces: Faces, size: int) -> io.NodeOutput:
        frames = frames_of(image)
        faces = faces_of(faces)
        check_frames(frames, faces.width, faces.height, len(faces.frames))
        crops = plan_crops(faces.placed, size, faces.width, faces.height, len(faces.frames))
        # ComfyUI's nodes cannot take a batch of no images.
        pixels = extract(frames, crops) if len(crops) else torch.full((1, size, size, 3), 0.5)
        return io.NodeOutput(to_socket(pixels), crops)


class PasteFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePasteFaces",
            display_name="Paste Faces",
            category="Visage",
            description="Puts crops from Crop Faces back where they came from. Pixels outside them stay as they are.",
            search_aliases=["paste back", "face paste", "uncrop", "stitch face", "face fix"],
            inputs=[
                io.Image.Input("image", tooltip="The image that the crops came from, or the same image enlarged."),
                io.Image.Input(
                    "crops",
                    lazy=True,
                    tooltip="The crops after your work on them: as many and in the same order, of any size.",
                ),
                FaceCropsSocket.Input("face_crops", tooltip="From the Crop Faces that the crops came from."),
                *setting_widgets(BlendSettings, defaults={"colour_match": 0.0}),
                parser_input(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with the crops in their places."),
                io.Mask.Output("mask", tooltip="How much of each pixel was replaced, 0 to 1."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, strength: float, face_crops: Crops, mask_shape: MaskShape, **inputs: Any) -> list[str]:
        if strength == 0 or len(face_crops) == 0:
            return []
        return missing(inputs, ["crops", "parser"] if mask_shape == "parse" else ["crops"])

    @classmethod
    def execute(
        cls,
        image: Tensor,
        face_crops: Crops,
        crops: Tensor | None = None,
        parser: LoadedModel[Parser] | None = None,
        **inputs: Any,
    ) -> io.NodeOutput:
        settings = build(BlendSettings, inputs)
        if crops is None or settings.strength == 0 or len(face_crops) == 0:
            return io.NodeOutput(image, nothing_changed(image))
        frames, pixels = frames_of(image), frames_of(crops)[..., :3]
        result, changed = paste_crops(frames, face_crops, pixels, settings, None if parser is None else parser.network)
        return io.NodeOutput(to_socket(result), to_socket(changed))
