"""The node that makes masks of parts of faces."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..faces.face import Faces
from ..fields import build
from ..models.parsers import Parser
from ..pipeline import RegionSettings, check_regions, face_regions
from . import previews
from .given_faces import faces_of
from .host import ComfyHost
from .images import frames_of, region_in, to_socket
from .lazy import missing
from .setting_widgets import setting_widgets
from .types import FacesSocket, LoadedModel, ParserSocket


class FaceRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFaceRegions",
            display_name="Face Regions",
            category="Visage",
            description=(
                "A mask of parts of the faces: glasses, hair, lips, the whole face. For what Restore Faces may change, "
                "and for what Refine Faces repaints."
            ),
            search_aliases=[
                "face parsing",
                "face mask",
                "keep glasses",
                "keep hair",
                "skin mask",
                "hair mask",
                "lips mask",
                "eyes mask",
                "face segmentation",
                "bisenet",
                "parsenet",
                "occlusion",
            ],
            # So that it can be run by itself: to see the mask before anything is done with it.
            is_output_node=True,
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="The image or batch that the faces were found in."),
                FacesSocket.Input("faces", lazy=True, tooltip="From Detect Faces or Select Faces."),
                *setting_widgets(RegionSettings),
                io.Boolean.Input(
                    "preview",
                    default=True,
                    tooltip="Show the mask in red on the node: on the first 8 images, shrunk to 1024 pixels.",
                ),
                ParserSocket.Input(
                    "parser",
                    optional=True,
                    lazy=True,
                    tooltip="From Load Face Parser. Needed for all regions but face_oval, eye_area and mouth_area.",
                ),
                io.Mask.Input(
                    "occluders",
                    optional=True,
                    lazy=True,
                    tooltip=(
                        "What lies in front of the faces, such as hands: from SAM3 or any node that makes masks. It is "
                        "black in the masks, inverted or not. Must be of the size of the image; the black 64x64 mask "
                        "that Load Image gives for an image without alpha counts as no mask."
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask",
                    tooltip=(
                        "White where the regions are, or where they are not: for region of Restore Faces, and for mask "
                        "of Refine Faces."
                    ),
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        # All of it is lazy so that this is said before the detector runs.
        settings = build(RegionSettings, inputs)
        check_regions(settings, "parser" in inputs)
        first = missing(inputs, ["faces", "image", "occluders"])
        if first or not settings.parsed or faces_of(inputs["faces"]).count == 0:
            return first
        return missing(inputs, ["parser"])

    @classmethod
    def execute(
        cls,
        image: Tensor,
        faces: Faces,
        preview: bool,
        parser: LoadedModel[Parser] | None = None,
        occluders: Tensor | None = None,
        **inputs: Any,
    ) -> io.NodeOutput:
        frames, faces = frames_of(image), faces_of(faces)
        settings = build(RegionSettings, inputs)
        network = None if parser is None else parser.network
        masks = face_regions(frames, faces, settings, ComfyHost(), network, region_in(occluders, *image.shape[1:3]))
        if settings.masks == "per face":
            frames = frames[[frame for frame, _ in faces.placed[: previews.PREVIEW_FRAMES]]]
        if len(masks) == 0:
            # ComfyUI's nodes cannot take a batch of none.
            return io.NodeOutput(to_socket(torch.full((1, *frames.shape[1:3]), float(settings.edges.invert))))
        shown = ui.PreviewImage(previews.tinted(frames, masks), cls=cls) if preview else None
        return io.NodeOutput(to_socket(masks), ui=shown)
