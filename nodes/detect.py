"""The node that finds faces."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..faces.face import Faces, in_reading_order
from ..faces.selection import SkipSettings, without_skipped
from ..fields import build
from ..models.detectors import DetectionSettings, Detector
from . import previews
from .bridges import boxes_of, mask_of
from .images import frames_of, to_socket
from .setting_widgets import setting_widgets
from .types import DetectorSocket, FacesSocket, LoadedModel


class DetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageDetectFaces",
            display_name="Detect Faces",
            category="Visage",
            description="Finds the faces in every image of a batch.",
            search_aliases=["face detection", "bbox detector", "find faces", "face mask", "adetailer", "facedetailer"],
            # So that it can be run by itself: to see the faces before anything is done to them.
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="One image or a batch; frames of a video are a batch."),
                DetectorSocket.Input("detector", tooltip="From Load Face Detector."),
                *setting_widgets(DetectionSettings, only=["confidence"]),
                io.Int.Input(
                    "min_size",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Faces whose longer side is smaller than this many pixels are left out. 0 keeps all.",
                ),
                *setting_widgets(DetectionSettings, only=["tiles", "rotations"]),
                io.Boolean.Input(
                    "preview",
                    default=True,
                    tooltip="Show what was found on the node: the first 8 images, shrunk to 1024 pixels.",
                ),
            ],
            outputs=[
                FacesSocket.Output(
                    "faces", tooltip="The faces of every image, as numbers: for Restore Faces and Crop Faces."
                ),
                io.BoundingBox.Output(
                    "bboxes",
                    tooltip="Boxes for ComfyUI's own nodes, such as Draw BBoxes and SAM3: per image, surest first.",
                ),
                io.Mask.Output(
                    "mask", tooltip="1 where a face is: its outline from a detector that segments, else its box."
                ),
                io.Int.Output("count", tooltip="Number of faces in all images together."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        detector: LoadedModel[Detector],
        min_size: int,
        preview: bool,
        **inputs: Any,
    ) -> io.NodeOutput:
        frames = frames_of(image)
        faces = _without_small(detector.network.faces_in(frames, build(DetectionSettings, inputs)), min_size)
        shown = ui.PreviewImage(previews.drawing(frames, faces), cls=cls) if preview else None
        return io.NodeOutput(faces, boxes_of(faces), to_socket(mask_of(faces)), faces.count, ui=shown)


def _without_small(faces: Faces, min_size: int) -> Faces:
    """The faces of at least ``min_size`` pixels, numbered anew."""
    large = without_skipped(faces, SkipSettings(min_size=min_size))
    return large.with_frames(map(in_reading_order, large.frames))
