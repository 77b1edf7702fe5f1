"""``visage refine``: finds the faces in pictures, repaints them with a diffusion model and puts them back."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from ..fields import settings_of
from ..models.detectors import DetectionSettings, Detector
from ..models.host import TorchHost
from ..models.refiners import Refiner
from ..models.refiners.diffusers_engine import (
    AUTO,
    AUTO_TEXT,
    PRECISIONS,
    SAMPLERS,
    SCHEDULES,
    load_inpainter,
    precision_on,
)
from ..models.restorers import Restorer
from ..models.weights import WeightsError
from ..pipeline import PromptSource, Refinement, RefineSettings, Wildcards, check_prompts, refine
from . import options
from .inputs import InputError, plan, refuse_report
from .running import work_through
from .setting_options import add_settings, settings_from

# Of settings that elsewhere go with what is connected to a node.
_TEXTS = {
    "prompt": "The prompt for the faces. [SEP] separates the prompts of several faces, [SKIP] leaves a face as it is.",
    "negative_prompt": "The negative prompt for the faces.",
    "restore": "Whether --restorer works before or after the faces are repainted.",
    "fidelity": "Fidelity of --restorer, if it has that setting.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_output(parser)
    options.add_detection(parser)
    model = parser.add_argument_group("the diffusion model")
    model.add_argument(
        "--model",
        metavar="PATH",
        type=Path,
        required=True,
        help="a diffusers folder, or a .safetensors checkpoint, of Stable Diffusion 1.5 or SDXL",
    )
    model.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=AUTO,
        help=f"{AUTO_TEXT} (default {AUTO})",
    )
    model.add_argument(
        "--tokenizer", metavar="DIR", type=Path, help="for a checkpoint: a folder with vocab.json and merges.txt"
    )
    main = parser.add_argument_group("how faces are refined")
    advanced = parser.add_argument_group("more about that")
    (shape,) = settings_of(RefineSettings, ["shape"])
    choices = {
        "sampler": list(SAMPLERS),
        "scheduler": list(SCHEDULES),
        # There is no mask here.
        "shape": [choice for choice in shape.choices if choice != "mask"],
    }
    add_settings(main, advanced, RefineSettings, choices, texts=_TEXTS)
    main.add_argument(
        "--wildcards", metavar="DIR", type=Path, action="append", default=[], help="lists of words for __name__"
    )
    main.add_argument("--restorer", metavar="NAME|FILE", help="restores the faces, too: see --restore")
    told = parser.add_argument_group("what else is written")
    options.add_report(told, "what was done to every face, as JSON")
    told.add_argument("--compare", action="store_true", help="before and after side by side, beside each result")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Tools:
    """Everything that is loaded once for all pictures."""

    host: TorchHost
    detector: Detector
    detection: DetectionSettings
    refiner: Refiner
    restorer: Restorer | None
    settings: RefineSettings
    source: PromptSource


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a picture failed."""
    try:
        todo = plan(arguments.inputs, arguments.output, overwrite=arguments.overwrite, compare=arguments.compare)
        refuse_report(arguments.report, todo)
        tools = _tools(arguments)
    except (InputError, OSError, ValueError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    return work_through(todo, arguments.batch, partial(_refine, tools), "refined", tools.host, arguments.report)


def _tools(arguments: argparse.Namespace) -> _Tools:
    """Raises ``ValueError`` where a prompt cannot be read or the model cannot do what is asked of it, before any
    picture is read; so does a restorer by ``InputError``."""
    settings = settings_from(arguments, RefineSettings)
    missing = next((folder for folder in arguments.wildcards if not folder.is_dir()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such folder, for --wildcards.")
    source = PromptSource("", "", Wildcards.from_folders(arguments.wildcards))
    check_prompts(settings.prompts, source)
    host = options.host_of(arguments)
    precision = precision_on(host.device, arguments.precision)
    restorer = None if arguments.restorer is None else options.restorer_of(arguments, host)
    refiner = load_inpainter(arguments.model, host, precision, arguments.tokenizer)
    refiner.steps(settings.sampling)
    return _Tools(
        host,
        options.detector_of(arguments, host),
        options.detection_of(arguments),
        refiner,
        restorer,
        settings,
        source,
    )


def _refine(tools: _Tools, frames: Tensor) -> Refinement:
    faces = tools.detector.faces_in(frames, tools.detection)
    return refine(frames, faces, tools.refiner, tools.host, tools.settings, tools.source, restorer=tools.restorer)
