"""The outputs that Select Faces and Pick Faces share."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..faces.face import Faces
from ..faces.selection import Choice, choice_report
from .types import FacesSocket


def choice_outputs(taken: str) -> list[io.Output]:
    """The sockets; :func:`choice_values` gives their values.

    Args:
        taken: what is said of the faces that were taken.
    """
    return [
        FacesSocket.Output("faces", tooltip=taken),
        FacesSocket.Output("others", tooltip="The faces that were left out, in their original order."),
        io.String.Output("report", tooltip="How many were taken, and why each of the others was not."),
        io.Int.Output("number", tooltip="Number of faces taken, in all images together."),
    ]


def choice_values(faces: Faces, choices: Sequence[Choice]) -> tuple[Faces, Faces, str, int]:
    """The faces that were taken, the others, the report and how many were taken, from a choice for each frame."""
    taken = faces.with_frames(choice.taken for choice in choices)
    others = faces.with_frames((each.face for each in choice.left_out) for choice in choices)
    return taken, others, choice_report(choices), taken.count
