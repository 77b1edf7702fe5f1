"""The node that tells what is known of each face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..drawing import draw_faces
from ..faces.crops import check_frames
from ..faces.face import Faces
from ..models.embedders import Embedder
from ..models.host import Progress
from ..pipeline import (
    FaceReport,
    Reference,
    report_caption,
    report_data,
    report_faces,
    report_text,
    report_total,
    same_faces,
)
from . import previews
from .given_faces import faces_of
from .host import ComfyHost
from .images import frames_of, to_socket
from .lazy import missing
from .node_ui import report_ui
from .types import EmbedderSocket, FacesSocket, LoadedModel

# What is needed as soon as one of the others is connected.
_NEEDED = {
    "embedder": "The faces of a reference are compared by an embedder: connect one (Load Face Embedder).",
    "reference": "What are the faces to be compared with? Connect a reference image.",
}
_COMPARING = (*_NEEDED, "reference_faces")


class ReportFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFaceReport",
            display_name="Face Report",
            category="Visage",
            description=(
                "Reports size, head pose and picture quality of each face, and whether it is the same person as in "
                "another image."
            ),
            search_aliases=[
                "face quality",
                "face similarity",
                "identity check",
                "face pose",
                "sharpness",
                "noise",
                "blur detection",
                "arcface",
                "face analysis",
            ],
            # What it tells stands on the node: nothing need be connected behind it.
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the faces were found in."),
                FacesSocket.Input("faces", tooltip="From Detect Faces."),
                io.Boolean.Input(
                    "preview",
                    default=True,
                    tooltip="Show the picture on the node: the first 8 images, shrunk to 1024 pixels.",
                ),
                EmbedderSocket.Input(
                    "embedder",
                    optional=True,
                    lazy=True,
                    tooltip="From Load Face Embedder: compares the faces with those of the reference.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    lazy=True,
                    tooltip=(
                        "What the faces are compared with. Without reference_faces: the same image after some work on "
                        "it, of any size. With them: any image, one for all or one for each."
                    ),
                ),
                FacesSocket.Input(
                    "reference_faces",
                    optional=True,
                    lazy=True,
                    tooltip="The faces of the reference. Each face is compared with the one most like it.",
                ),
            ],
            outputs=[
                io.String.Output("report", tooltip="The findings as text."),
                io.String.Output("json", tooltip="The same as JSON."),
                io.Image.Output("picture", tooltip="The image with boxes and text drawn on it."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, faces: Faces, **inputs: Any) -> list[str]:
        return missing(inputs, _COMPARING) if faces_of(faces).count else []

    @classmethod
    def validate_inputs(
        cls, embedder: str | None = "", reference: str | None = "", reference_faces: str | None = ""
    ) -> bool | str:
        # What is connected is still unknown here and arrives as None, not as "".
        if embedder == reference == reference_faces == "":
            return True
        lacking = [name for name, value in (("embedder", embedder), ("reference", reference)) if value == ""]
        return " ".join(_NEEDED[name] for name in lacking) or True

    @classmethod
    def execute(
        cls,
        image: Tensor,
        faces: Faces,
        preview: bool,
        embedder: LoadedModel[Embedder] | None = None,
        reference: Tensor | None = None,
        reference_faces: Faces | None = None,
    ) -> io.NodeOutput:
        frames, faces = frames_of(image), faces_of(faces)
        # Before the reference is compared with them, which would be blamed for an image that is not theirs.
        check_frames(frames, faces.width, faces.height, len(faces.frames))
        # Each of them is measured, and drawn upon.
        progress = ComfyHost().progress(2 * len(frames), "report")
        reports = report_faces(
            frames,
            faces,
            None if embedder is None else embedder.network,
            None if reference is None or embedder is None else _reference(frames_of(reference), faces, reference_faces),
            progress,
        )
        text, picture = report_text(reports), _annotated(frames, faces, reports, progress)
        shown = dict(report_ui(text, report_total(reports)).as_dict())
        if preview:
            shown |= ui.PreviewImage(previews.preview(picture), cls=cls).as_dict()
        images = [{"image": number, "faces": report_data(told)} for number, told in enumerate(reports, start=1)]
        data = json.dumps({"images": images}, indent=1, allow_nan=False)
        return io.NodeOutput(text, data, to_socket(picture), ui=shown)


def _reference(frames: Tensor, faces: Faces, theirs: Faces | None) -> Reference:
    return same_faces(frames, faces) if theirs is None else Reference(frames, faces_of(theirs), by_place=False)


def _annotated(frames: Tensor, faces: Faces, reports: Sequence[Sequence[FaceReport]], progress: Progress) -> Tensor:
    """``[B, H, W, 3]``"""
    drawn = []
    for frame, found, told in zip(frames, faces.frames, reports, strict=True):
        drawn.append(draw_faces(frame, found, [report_caption(report) for report in told]))
        progress.advance()
    return torch.stack(drawn)
