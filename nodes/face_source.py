"""Where the faces of a node come from: found by a detector in the node itself, or connected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..faces.face import Faces
from ..models.detectors import DetectionSettings, Detector
from .given_faces import faces_of
from .lazy import missing
from .types import DetectorSocket, FacesSocket, LoadedModel

_NOTHING_FINDS_FACES = (
    "It needs to know where the faces are: connect a detector (Load Face Detector), or faces (Detect Faces)."
)


def face_source_inputs() -> list[io.Input]:
    return [
        DetectorSocket.Input(
            "detector",
            optional=True,
            lazy=True,
            tooltip="From Load Face Detector. Needed unless faces are connected.",
        ),
        FacesSocket.Input(
            "faces",
            optional=True,
            lazy=True,
            tooltip="From Detect Faces, found in this very image. Where connected, the detector is not used.",
        ),
    ]


def lazy_status(inputs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """What ``check_lazy_status`` answers where something is to be done: what is :func:`~.lazy.missing` of ``names`` and
    of the sources of faces.

    The image is asked for first, and is lazy so that what is not connected is told before a sampler makes it; then
    connected faces: where there are none, nothing else is evaluated.

    Args:
        inputs: those that are connected, by name; ``None`` where one is not there yet.

    Raises:
        ValueError: neither a detector nor faces are connected. Said here, before a model is loaded, and not in
            ``validate_inputs``, which can only blame inputs that are there. Or as
            :func:`~.given_faces.faces_of`.
    """
    if "detector" not in inputs and "faces" not in inputs:
        raise ValueError(_NOTHING_FINDS_FACES)
    if first := missing(inputs, ["image"]):
        return first
    if "faces" not in inputs:
        names = ["detector", *names]
    elif inputs["faces"] is None:
        return ["faces"]
    elif faces_of(inputs["faces"]).count == 0:
        return []
    return missing(inputs, names)


def faces_in(frames: Tensor, detector: LoadedModel[Detector] | None, faces: Faces | None, confidence: float) -> Faces:
    """The connected faces, else those that the detector finds with at least that confidence.

    Raises:
        ValueError: there is neither, or as :func:`~.given_faces.faces_of`.
    """
    if faces is not None:
        return faces_of(faces)
    if detector is None:
        raise ValueError(_NOTHING_FINDS_FACES)
    return detector.network.faces_in(frames, DetectionSettings(confidence=confidence))
