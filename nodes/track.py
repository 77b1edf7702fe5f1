"""The node that follows faces through a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..faces.crops import check_frames
from ..faces.face import Faces
from ..faces.tracking import (
    Person,
    TrackSettings,
    cuts_in,
    faces_of_people,
    parse_numbers,
    people_in,
    people_report,
)
from ..fields import build
from . import previews
from .given_faces import faces_of
from .images import frames_of
from .node_ui import report_ui
from .setting_widgets import setting_widgets
from .types import FacesSocket


class TrackFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageTrackFaces",
            display_name="Track Faces",
            category="Visage",
            description=(
                "Follows faces through the frames of a video: each keeps its number, trembles less, and is not lost "
                "where the detector missed it."
            ),
            search_aliases=["video", "face tracking", "stabilize", "flicker", "temporal smoothing", "person id"],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="The frames of the video, as a batch. Cuts are looked for in them."),
                FacesSocket.Input("faces", tooltip="From Detect Faces, found in these very frames."),
                *setting_widgets(TrackSettings),
                io.Boolean.Input(
                    "preview",
                    default=True,
                    tooltip="Show the first 8 frames in which somebody is new on the node, shrunk to 1024 pixels.",
                ),
            ],
            outputs=[
                FacesSocket.Output(
                    "faces",
                    tooltip="The faces of everybody taken, by number: prompts and seeds of Refine Faces follow it.",
                ),
                io.String.Output("report", tooltip="Who was seen in which images, and where faces were put in."),
                io.Int.Output("number", tooltip="Number of people taken, in all images together."),
            ],
        )

    @classmethod
    def validate_inputs(cls, people: str | None = None) -> bool | str:
        # From a link they are still unknown here and arrive as None.
        try:
            parse_numbers(people or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, image: Tensor, faces: Faces, preview: bool, **inputs: Any) -> io.NodeOutput:
        frames, faces = frames_of(image), faces_of(faces)
        check_frames(frames, faces.width, faces.height, len(faces.frames))
        people = people_in(faces, cuts_in(frames), build(TrackSettings, inputs))
        tracked = faces_of_people(people, faces)
        text = people_report(people, faces)
        shown = dict(report_ui(text).as_dict())
        if preview:
            first = _first_sights(people) or [0]
            pictures = previews.drawing(frames[first], tracked.with_frames(tracked.frames[number] for number in first))
            shown |= ui.PreviewImage(pictures, cls=cls).as_dict()
        return io.NodeOutput(tracked, text, sum(person.taken for person in people), ui=shown)


def _first_sights(people: Sequence[Person]) -> list[int]:
    """The first frames in which somebody is new."""
    return sorted({min(person.faces) for person in people})[: previews.PREVIEW_FRAMES]
