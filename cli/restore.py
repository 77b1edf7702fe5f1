"""``visage restore``: finds the faces in pictures, restores them and puts them back."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from torch import Tensor

from ..faces.resizing import resize_frames
from ..models.detectors import DetectionSettings, Detector
from ..models.host import TorchHost
from ..models.inference import Precision
from ..models.locations import find_weights
from ..models.parsers import Parser
from ..models.restorers import Restorer
from ..models.upscaler import Upscaler, load_upscaler
from ..models.weights import WeightsError
from ..pipeline import Restoration, RestoreSettings, restore
from . import options
from .inputs import InputError, plan, refuse_report
from .running import work_through
from .setting_options import add_settings, number, settings_from

# Those that say which faces are meant are among the options that commands share.
_SETTINGS = (
    "fidelity",
    "strength",
    "colour_match",
    "grain",
    "mask_shape",
    "feather",
    "alignment",
    "steps",
    "seed",
    "adain",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_output(parser)
    options.add_selection(parser)
    look = parser.add_argument_group("how faces are restored")
    look.add_argument("--restorer", metavar="NAME|FILE", help="default: visage-restore, which is built in")
    add_settings(look, look, RestoreSettings, only=_SETTINGS)
    look.add_argument("--parser", metavar="NAME|FILE", help="network for --mask parse; default: BiSeNet, else ParseNet")
    look.add_argument(
        "--precision", choices=get_args(Precision), default="fp32", help="bf16 where it was measured safe"
    )
    look.add_argument("--skip-failed", action="store_true", help="leave a face as it was if the network fails on it")
    frame = parser.add_argument_group("the whole picture")
    frame.add_argument(
        "--upscale", metavar="N", type=number(float, 0.1, 8), help="enlarge N times (default 1, or the upscaler's own)"
    )
    frame.add_argument("--upscaler", metavar="FILE", help="network for the background (Real-ESRGAN kind)")
    told = parser.add_argument_group("what else is written")
    options.add_report(told, "what was done to every face, as JSON")
    told.add_argument(
        "--crops", metavar="DIR", type=Path, help="every restored face before and after, as aligned crops"
    )
    told.add_argument("--compare", action="store_true", help="before and after side by side, beside each result")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Tools:
    """Everything that is loaded once for all pictures."""

    host: TorchHost
    detector: Detector
    restorer: Restorer
    parser: Parser | None
    upscaler: Upscaler | None
    upscale: float
    detection: DetectionSettings
    settings: RestoreSettings


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a picture failed."""
    try:
        todo = plan(
            arguments.inputs,
            arguments.output,
            overwrite=arguments.overwrite,
            compare=arguments.compare,
            crops=arguments.crops,
        )
        refuse_report(arguments.report, todo)
        tools = _tools(arguments)
    except (InputError, OSError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    return work_through(todo, arguments.batch, partial(_restore, tools), "restored", tools.host, arguments.report)


def _tools(arguments: argparse.Namespace) -> _Tools:
    host = options.host_of(arguments)
    upscaler = None
    if arguments.upscaler is not None:
        upscaler = load_upscaler(find_weights(arguments.upscaler, "upscaler", arguments.models), host)
    return _Tools(
        host,
        options.detector_of(arguments, host),
        options.restorer_of(arguments, host, arguments.precision),
        options.parser_of(arguments, host),
        upscaler,
        arguments.upscale or (upscaler.scale if upscaler else 1),
        options.detection_of(arguments),
        replace(settings_from(arguments, RestoreSettings), on_error="skip" if arguments.skip_failed else "stop"),
    )


def _restore(tools: _Tools, frames: Tensor) -> Restoration:
    faces = tools.detector.faces_in(frames, tools.detection)
    background = None
    if tools.upscaler is not None:
        background = tools.upscaler.upscale(frames, tools.upscale)
    elif tools.upscale != 1:
        background = resize_frames(frames, tools.upscale)
    return restore(frames, faces, tools.restorer, tools.host, tools.settings, background, parser=tools.parser)
