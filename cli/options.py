"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..faces.selection import Selection
from ..models.catalogue import Kind, licence_line
from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from ..models.locations import available, find_weights
from ..models.parsers import Parser, load_parser

# Which detector is taken where the user names none: those with landmarks come first, the surest among them leading.
_DETECTORS = ("retinaface-resnet50", "yolov8n-face", "retinaface-mobilenet", "yunet")
_RESTORERS = (
    "gfpgan-1.4",
    "codeformer",
    "restoreformer-plus-plus",
    "restoreformer",
    "gfpgan-1.3",
    "gfpgan-1.2",
    "vqfr-2",
)

# The quicker one first: it takes a seventeenth of the calculation of the other.
_PARSERS = ("bisenet", "parsenet")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders (with sub-folders) or patterns")
    parser.add_argument(
        "--models", metavar="DIR", type=Path, action="append", default=[], help="look for weights here first"
    )
    parser.add_argument("--device", metavar="D", help="cuda, cuda:1, mps or cpu; default: the best there is")
    parser.add_argument(
        "--batch", metavar="N", type=count, default=1, help="pictures of one size that are read at once"
    )


def add_detection(parser: argparse.ArgumentParser, *, selection: bool = True) -> None:
    """How faces are found, and which of them are worked on where the command has no settings of its own for that."""
    group = parser.add_argument_group("which faces")
    group.add_argument(
        "--detector", metavar="NAME|FILE", help="default: the best detector with landmarks that is found"
    )
    group.add_argument("--confidence", metavar="C", type=share, default=0.5, help="least score of a face (default 0.5)")
    group.add_argument("--rotations", action="store_true", help="also find faces on their side or upside down (slower)")
    if not selection:
        return
    group.add_argument("--min-face", metavar="PX", type=float, default=0, help="skip faces smaller than this")
    group.add_argument("--max-face", metavar="PX", type=float, default=0, help="skip faces larger than this")
    group.add_argument("--max-faces", metavar="N", type=int, default=0, help="only the N largest of a picture")
    group.add_argument("--only-center", action="store_true", help="only the face nearest to the middle")


def selection_of(arguments: argparse.Namespace) -> Selection:
    return Selection(arguments.min_face, arguments.max_face, arguments.max_faces, arguments.only_center)


def detection_of(arguments: argparse.Namespace) -> DetectionSettings:
    return DetectionSettings(confidence=arguments.confidence, rotations=arguments.rotations)


def host_of(arguments: argparse.Namespace) -> TorchHost:
    return TorchHost(arguments.device, quiet=not sys.stderr.isatty())


def detector_of(arguments: argparse.Namespace, host: TorchHost) -> Detector:
    path = weights_of(arguments.detector, "detector", _DETECTORS, arguments.models)
    return load_detector(path, host)


def parser_of(arguments: argparse.Namespace, host: TorchHost) -> Parser | None:
    """The parser, where the mask that was chosen needs one."""
    if arguments.mask != "parse":
        return None
    return load_parser(weights_of(arguments.parser, "parser", _PARSERS, arguments.models), host)


def restorer_file_of(arguments: argparse.Namespace) -> Path:
    path = weights_of(arguments.restorer, "restorer", _RESTORERS, arguments.models)
    terms = licence_line(path.name)
    print(f"Restorer {path.name}{f' ({terms})' if terms else ''}", file=sys.stderr)
    return path


def weights_of(named: str | None, kind: Kind, preferred: Sequence[str], extra: Sequence[Path]) -> Path:
    """The file of the weights that were named, else of the first preferred ones there are, else of any.

    Raises:
        FileNotFoundError: there are none. The message says how to get some.
    """
    if named is not None:
        return find_weights(named, kind, extra)
    for name in preferred:
        try:
            return find_weights(name, kind, extra)
        except FileNotFoundError:
            continue
    files = available(kind, extra)
    return files[0] if files else find_weights(preferred[0], kind, extra)


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
