"""``visage detect``: finds faces, and tells or draws where they are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch import Tensor

from ..faces.formatting import as_data
from ..models.weights import WeightsError
from . import options
from .inputs import InputError, plan_drawings, refuse_report
from .running import Seen, look_through


def add_options(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_selection(parser)
    parser.add_argument("--draw", metavar="DIR", type=Path, help="write pictures with the faces drawn on them here")
    options.add_report(parser, "write boxes, scores and landmarks here, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace existing drawings")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a picture failed."""
    try:
        todo = plan_drawings(arguments.inputs, arguments.draw, overwrite=arguments.overwrite)
        refuse_report(arguments.report, todo)
        host = options.host_of(arguments)
        detector = options.detector_of(arguments, host)
    except (InputError, OSError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1

    def look(frames: Tensor) -> list[Seen]:
        found = options.faces_of(frames, detector, arguments)
        return [Seen(faces, [as_data(face) for face in faces]) for faces in found.frames]

    return look_through(todo, arguments.batch, look, arguments.draw is not None, arguments.report)
