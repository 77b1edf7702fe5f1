"""What Refine Faces and Refine Faces (Diffusers) share: inputs, outputs, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..fields import build
from ..models.detectors import DetectionSettings
from ..models.refiners import Refiner
from ..pipeline import PromptSource, RefineSettings, Wildcards, refine
from . import face_source, folders
from .host import ComfyHost
from .images import frames_of, region_in, to_socket
from .lazy import missing
from .node_ui import outcome_texts, passed_through, work_ui
from .setting_widgets import setting_widgets
from .types import RestorerSocket


def refining_inputs(choices: Mapping[str, Sequence[str]]) -> list[io.Input]:
    """Where the faces are, all settings of refining, and what may be added to them.

    Args:
        choices: what may be chosen of "sampler" and "scheduler".
    """
    return [
        *face_source.face_source_inputs(),
        *setting_widgets(RefineSettings, choices),
        *setting_widgets(DetectionSettings, only=["confidence"]),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip=(
                "Where anything may change: white. Must be of the size of the image; the black 64x64 mask that Load "
                "Image gives for an image without alpha counts as no mask."
            ),
        ),
        RestorerSocket.Input(
            "restorer",
            optional=True,
            lazy=True,
            tooltip="From Load Face Restorer: restores the same faces before or after they are repainted.",
        ),
    ]


def refining_outputs() -> list[io.Output]:
    return [
        io.Image.Output("image", tooltip="The image with refined faces."),
        io.Mask.Output("mask", tooltip="How much of each pixel was replaced, 0 to 1."),
        io.Image.Output(
            "crops",
            is_output_list=True,
            tooltip=(
                "The faces as they were repainted, a list of images in reading order. Where there are none, the nodes "
                "that follow do not run."
            ),
        ),
        io.String.Output("report", tooltip="What was done to each face, and why nothing was done to others."),
    ]


def refining_lazy_status(inputs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """What ``check_lazy_status`` answers: as :func:`.face_source.lazy_status`; the image alone where nothing is to be
    done.

    Raises:
        ValueError: as :func:`.face_source.lazy_status`.
    """
    return missing(inputs, ["image"]) if _is_off(inputs) else face_source.lazy_status(inputs, names)


def run_refining(
    node: type[io.ComfyNode],
    image: Tensor,
    inputs: Mapping[str, Any],
    engine: Callable[[], Refiner],
    base: str | None = None,
) -> io.NodeOutput:
    """Finds and repaints faces; gives what the nodes put out, image, mask, crops and report, and what they show.

    Args:
        node: the one that runs.
        inputs: by name, those of :func:`refining_inputs` among them.
        engine: called where there is something to do.
        base: the engine's own prompt and negative prompt where these are texts.
    """
    no_crops = ExecutionBlocker(None)
    if _is_off(inputs):
        return passed_through(image, "Nothing was done: strength or denoise is 0.", between=[no_crops])
    frames = frames_of(image)
    faces = face_source.faces_in(frames, inputs.get("detector"), inputs.get("faces"), inputs["confidence"])
    if faces.count == 0:
        return passed_through(image, *outcome_texts([() for _ in faces.frames], "refined"), between=[no_crops])
    restorer = inputs.get("restorer")
    done = refine(
        frames,
        faces,
        engine(),
        ComfyHost(),
        build(RefineSettings, inputs),
        PromptSource(base, base, Wildcards.from_folders(folders.wildcard_folders())),
        region_in(inputs.get("mask"), *image.shape[1:3]),
        None if restorer is None else restorer.network,
    )
    text, total = outcome_texts(done.outcomes, "refined")
    if done.frames is frames:
        return passed_through(image, text, total, between=[no_crops])
    crops = [to_socket(crop[None]) for crop in done.crops] or no_crops
    shown = work_ui(node, text, total, frames, done.frames, done.outcomes)
    return io.NodeOutput(to_socket(done.frames), to_socket(done.changed), crops, text, ui=shown)


def _is_off(inputs: Mapping[str, Any]) -> bool:
    # Connected noise levels stand in for the denoise.
    return bool(inputs["strength"] == 0 or (inputs["denoise"] == 0 and "sigmas" not in inputs))
