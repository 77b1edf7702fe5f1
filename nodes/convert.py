"""The nodes between FACES and what other nodes send and take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..faces.face import Face, Faces
from .bridges import (
    boxes_of,
    faces_of_boxes,
    faces_of_landmarks,
    faces_of_mask,
    faces_of_segs,
    mask_of,
    segs_of,
    united,
)
from .bridges.boxes import Boxes
from .given_faces import faces_of
from .images import frames_of, region_in, to_socket
from .types import BoxesSocket, FacesSocket, LandmarksSocket, SegsSocket

_NOTHING_SHOWS_FACES = "It needs to know where the faces are: connect bboxes, landmarks, segs or mask."


class FacesFrom(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFacesFrom",
            display_name="Faces from Boxes, Landmarks, SEGS, Mask",
            category="Visage",
            description=(
                "Makes faces of what other nodes found or you drew: bounding boxes, MediaPipe landmarks, SEGS of the "
                "Impact Pack, a mask. Several together complete each other."
            ),
            search_aliases=["bbox to faces", "mediapipe", "segs to faces", "mask to faces", "impact pack", "sam3"],
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the others belong to. It gives the size."),
                BoxesSocket.Input(
                    "bboxes",
                    optional=True,
                    # ComfyUI's page would make a widget of it.
                    extra_dict={"forceInput": True},
                    tooltip=(
                        "From nodes that detect, such as SAM3 Detect, or a box that you set. One for all images, or a "
                        "list for each."
                    ),
                ),
                LandmarksSocket.Input(
                    "landmarks",
                    optional=True,
                    tooltip="From Detect Face Landmarks (MediaPipe): 478 points, of which five align the face.",
                ),
                SegsSocket.Input(
                    "segs", optional=True, tooltip="From the Impact Pack or a node like it. Of a batch: for all images."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Each connected part of the white is a face. Must be of the size of the image; the black "
                        "64x64 mask that Load Image gives for an image without alpha counts as no mask."
                    ),
                ),
                io.Int.Input(
                    "min_part",
                    default=8,
                    min=1,
                    max=16384,
                    tooltip="Parts of the mask whose longer side is smaller than this many pixels are left out.",
                    advanced=True,
                ),
            ],
            outputs=[
                FacesSocket.Output(
                    "faces", tooltip="The faces in reading order: for Select Faces, Restore Faces and the others."
                ),
                io.Int.Output("count", tooltip="Number of faces in all images together."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        image: None = None,
        bboxes: str | None = "",
        landmarks: str | None = "",
        segs: str | None = "",
        mask: str | None = "",
    ) -> bool | str:
        # What is connected is still unknown here and arrives as None. The image is named so that there is an input to
        # show the message at.
        return _NOTHING_SHOWS_FACES if bboxes == landmarks == segs == mask == "" else True

    @classmethod
    def execute(
        cls,
        image: Tensor,
        min_part: int,
        bboxes: Boxes | None = None,
        landmarks: Mapping[str, Any] | None = None,
        segs: Sequence[Any] | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        count, height, width = frames_of(image).shape[:3]
        region = region_in(mask, height, width)
        # In the order of how much they tell of a face: the first that shows one decides on its box.
        sources: list[list[list[Face]]] = []
        if landmarks is not None:
            sources.append(faces_of_landmarks(landmarks, width, height, count))
        if bboxes is not None:
            sources.append(faces_of_boxes(bboxes, count))
        if segs is not None:
            sources.append(faces_of_segs(segs, width, height, count))
        if region is not None:
            sources.append(faces_of_mask(region, width, height, count, min_part))
        if not sources and mask is None:
            raise ValueError(_NOTHING_SHOWS_FACES)
        faces = Faces(width, height, united(sources) if sources else ((),) * count)
        return io.NodeOutput(faces, faces.count)


class FacesTo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFacesTo",
            display_name="Faces to Boxes, SEGS, Mask",
            category="Visage",
            description="Converts faces to what other nodes take: bounding boxes, SEGS of the Impact Pack, a mask.",
            search_aliases=["faces to bbox", "faces to segs", "faces to mask", "impact pack", "face mask", "sam3"],
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces or Select Faces."),
                io.Float.Input(
                    "crop_factor",
                    default=3.0,
                    min=1.0,
                    max=100.0,
                    step=0.1,
                    tooltip="For SEGS: how much of the surroundings their nodes see, as a multiple of the face's box.",
                ),
            ],
            outputs=[
                io.BoundingBox.Output(
                    "bboxes",
                    tooltip="Boxes for ComfyUI's own nodes, such as Draw BBoxes and SAM3: per image, surest first.",
                ),
                SegsSocket.Output(
                    "segs",
                    is_output_list=True,
                    tooltip="For the Impact Pack and nodes like it. Of a batch: a list, one for each image.",
                ),
                io.Mask.Output("mask", tooltip="1 where a face is: its outline where it has one, else its box."),
            ],
        )

    @classmethod
    def execute(cls, faces: Faces, crop_factor: float) -> io.NodeOutput:
        faces = faces_of(faces)
        return io.NodeOutput(boxes_of(faces), segs_of(faces, crop_factor), to_socket(mask_of(faces)))
