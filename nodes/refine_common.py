"""The part of the nodes that repaint faces that does not depend on what repaints them."""

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
from . import folders, sources
from .host import ComfyHost
from .images import frames_of, region_in, to_socket
from .setting_widgets import setting_widgets
from .showing import report_shown, told, untouched, work_shown
from .types import RestorerSocket


def refining_inputs(choices: Mapping[str, Sequence[str]]) -> list[io.Input]:
    """Where the faces are, all settings of refining, and what may be added to them.

    Args:
        choices: what may be chosen of "sampler" and "scheduler".
    """
    return [
        *sources.source_inputs(),
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


def wanted(inputs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """What ``check_lazy_status`` answers: as :func:`.sources.wanted`, and nothing where nothing is to be done.

    Raises:
        ValueError: as :func:`.sources.check_sources`.
    """
    return [] if _is_off(inputs) else sources.wanted(inputs, names)


def refined(
    node: type[io.ComfyNode],
    image: Tensor,
    inputs: Mapping[str, Any],
    engine: Callable[[], Refiner],
    base: str | None = None,
) -> io.NodeOutput:
    """What the nodes put out, image, mask, crops and report, and what they show.

    Args:
        node: the one that runs.
        inputs: by name, those of :func:`refining_inputs` among them.
        engine: called where there is something to do.
        base: the engine's own prompt and negative prompt where these are texts.
    """
    no_crops = ExecutionBlocker(None)
    if _is_off(inputs):
        return untouched(image, "Nothing was done: strength or denoise is 0.", between=[no_crops])
    frames = frames_of(image)
    faces = sources.faces_in(frames, inputs.get("detector"), inputs.get("faces"), inputs["confidence"])
    if faces.count == 0:
        return untouched(image, *told([() for _ in faces.frames], "refined"), between=[no_crops])
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
    text, total = told(done.outcomes, "refined")
    if done.frames is frames:
        return untouched(image, text, total, between=[no_crops])
    crops = [to_socket(crop[None]) for crop in done.crops] or no_crops
    shown = work_shown(node, report_shown(text, total), frames, done.frames, done.outcomes)
    return io.NodeOutput(to_socket(done.frames), to_socket(done.changed), crops, text, ui=shown)


def _is_off(inputs: Mapping[str, Any]) -> bool:
    # Connected noise levels stand in for the denoise.
    return bool(inputs["strength"] == 0 or (inputs["denoise"] == 0 and "sigmas" not in inputs))
