"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..faces.face import Faces
from ..faces.selection import SkipSettings, without_skipped
from ..models import builtin
from ..models.catalogue import Kind, licence_line
from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from ..models.inference import Precision
from ..models.locations import available, find_weights
from ..models.parsers import Parser, load_parser
from ..models.restorers import Restorer, load_restorer
from ..models.weights import WeightsError
from .console import warn
from .inputs import InputError
from .setting_options import Group, add_settings, number, settings_from

T = TypeVar("T")

# The quicker one first: it takes a seventeenth of the calculation of the other.
_PARSERS = ("bisenet", "parsenet")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders (with sub-folders) or patterns")
    parser.add_argument(
        "--models", metavar="DIR", type=folder, action="append", default=[], help="look for weights here first"
    )
    parser.add_argument("--device", metavar="D", help="cuda, cuda:1, xpu, mps or cpu; default: the best there is")
    parser.add_argument(
        "--batch",
        metavar="N",
        type=number(int, 1),
        default=1,
        help="how many pictures of one size are worked on at once (default 1)",
    )


def folder(text: str) -> Path:
    """Reads the value of an option for a folder that has to be there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return Path(text)


def add_report(group: Group, text: str) -> None:
    """An option that goes by two names: JSON is what it writes, a report what it is."""
    kept = "; keeps what an earlier one says of pictures that are skipped now"
    group.add_argument("--report", "--json", dest="report", metavar="FILE", type=Path, help=text + kept)


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for the results, which keep names, sub-folders and formats; a picture with transparency that is "
        "named .jpg is left out and reported",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def add_detection(parser: argparse.ArgumentParser) -> Group:
    """How faces are found. The group is for what else says which faces are meant."""
    group = parser.add_argument_group("which faces")
    group.add_argument("--detector", metavar="NAME|FILE", help="default: visage-detect, which is built in")
    group.add_argument(
        "--confidence", metavar="C", type=number(float, 0, 1), default=0.5, help="lowest score of a face (default 0.5)"
    )
    group.add_argument("--rotations", action="store_true", help="also find faces on their side or upside down (slower)")
    return group


def add_selection(parser: argparse.ArgumentParser) -> None:
    """How faces are found, and which of them are worked on."""
    group = add_detection(parser)
    add_settings(group, group, SkipSettings)


def detection_of(arguments: argparse.Namespace) -> DetectionSettings:
    return DetectionSettings(confidence=arguments.confidence, rotations=arguments.rotations)


def faces_of(frames: Tensor, detector: Detector, arguments: argparse.Namespace) -> Faces:
    """The faces of frames ``[B, H, W, 3]`` that are asked for."""
    found = detector.faces_in(frames, detection_of(arguments))
    return without_skipped(found, settings_from(arguments, SkipSettings))


def host_of(arguments: argparse.Namespace) -> TorchHost:
    """Raises ``InputError`` where there is no such device."""
    if arguments.device is not None:
        try:
            torch.zeros(1, device=arguments.device).cpu()
        except (RuntimeError, AssertionError, ImportError) as error:  # which of them depends on the device
            raise InputError(
                f"There is no device {arguments.device} here ({str(error).splitlines()[0]}). "
                "Choose --device cpu, or leave it out for the best there is."
            ) from error
    return TorchHost(arguments.device, quiet=not sys.stderr.isatty())


def detector_of(arguments: argparse.Namespace, host: TorchHost) -> Detector:
    path = find_weights(arguments.detector or builtin.DETECTOR, "detector", arguments.models)
    return load_detector(path, host)


def parser_of(arguments: argparse.Namespace, host: TorchHost) -> Parser | None:
    """The parser, where the mask that was chosen needs one."""
    if arguments.mask_shape != "parse":
        if arguments.parser is not None:
            warn("--parser does nothing without --mask parse.")
        return None
    load = partial(load_parser, host=host)
    return load_preferred(arguments.parser, "parser", _PARSERS, arguments.models, load)


def restorer_of(arguments: argparse.Namespace, host: TorchHost, precision: Precision = "fp32") -> Restorer:
    """Raises ``InputError`` for one that has to be told what nobody can tell it here."""
    restorer = load_restorer(_restorer_file_of(arguments), host, precision)
    if restorer.task == "fill":
        raise InputError(
            f"{restorer.name} fills hidden parts of faces, and the command line has no mask that says where they are. "
            "Use the node Restore Faces in ComfyUI, with a mask as its region, or choose another restorer."
        )
    return restorer


def _restorer_file_of(arguments: argparse.Namespace) -> Path:
    path = find_weights(arguments.restorer or builtin.RESTORER, "restorer", arguments.models)
    terms = licence_line(path.name)
    print(f"Restorer {path.name}{f' ({terms})' if terms else ''}", file=sys.stderr)
    return path


def load_preferred(
    named: str | None, kind: Kind, preferred: Sequence[str], extra: Sequence[Path], load: Callable[[Path], T]
) -> T:
    """Loads the file that was named, else the first of the preferred ones that is there, else the first of any other
    name that turns out to be of the kind.

    Raises:
        FileNotFoundError: there is none. The message says how to get one.
        WeightsError: the file that was named, or a preferred one, cannot be used.
    """
    if named is not None:
        return load(find_weights(named, kind, extra))
    for name in preferred:
        with suppress(FileNotFoundError):
            return load(find_weights(name, kind, extra))
    for path in available(kind, extra):
        # Files that nobody named: what is wrong with them is nobody's question.
        with suppress(WeightsError, OSError):
            return load(path)
    return load(find_weights(preferred[0], kind, extra))
