"""The node in whose picture faces are clicked. The page's part of it is ``js/pick_faces.js``."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..faces.crops import check_frames
from ..faces.face import Faces
from ..faces.selection import PickSettings, box_in_percent, parse_picks, pick
from ..fields import build
from . import previews
from .choice_outputs import choice_outputs, choice_values
from .given_faces import faces_of
from .images import frames_of
from .setting_widgets import setting_widgets
from .types import FacesSocket


class PickFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePickFaces",
            display_name="Pick Faces",
            category="Visage",
            description=(
                "Shows the faces in the picture. Click a face to leave it out or bring it back, drag to add a box."
            ),
            search_aliases=["choose faces", "click faces", "face picker", "select face by click", "draw face box"],
            # So that it can be run by itself: to see the faces before anything is done to them.
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the faces were found in."),
                FacesSocket.Input("faces", tooltip="From Detect Faces."),
                *setting_widgets(PickSettings),
            ],
            outputs=choice_outputs("The faces that were taken, in the order in which they came, then those drawn."),
        )

    @classmethod
    def validate_inputs(cls, choice: str | None = None) -> bool | str:
        # From a link it is still unknown here and arrives as None.
        try:
            parse_picks(choice or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, image: Tensor, faces: Faces, **inputs: Any) -> io.NodeOutput:
        frames, faces = frames_of(image), faces_of(faces)
        check_frames(frames, faces.width, faces.height, len(faces.frames))
        settings = build(PickSettings, inputs)
        taken, others, text, number = choice_values(faces, pick(faces, settings))
        pictures = ui.PreviewImage(previews.preview(frames), cls=cls).as_dict()["images"]
        shown = {
            "pick": shown_pictures(faces, pictures),
            "total": [len(frames)],
            "choice": [settings.choice],
            "text": [text],
        }
        return io.NodeOutput(taken, others, text, number, ui=shown)


def shown_pictures(faces: Faces, pictures: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What ``js/pick_faces.js`` gets: of each preview where it was saved, and the faces in it.

    Each face is its ``box`` in percent of the picture, its ``number`` from 1 on and its ``size`` in pixels.
    """
    return [
        {
            "picture": picture,
            "width": faces.width,
            "height": faces.height,
            "faces": [
                {
                    "box": box_in_percent(face, faces.width, faces.height),
                    "number": face.index + 1,
                    "size": round(face.size),
                }
                for face in found
            ],
        }
        for picture, found in zip(pictures, faces.frames, strict=False)
    ]
