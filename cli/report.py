"""``visage report``: tells how good the pictures of faces are, and whose faces they are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from ..models.detectors import Detector
from ..models.embedders import Embedder, load_embedder
from ..models.weights import WeightsError
from ..pipeline import FaceReport, Reference, report_caption, report_data, report_faces, report_text
from . import options
from .console import warn
from .images import ImageError, load_image
from .inputs import InputError, plan_drawings, refuse_report
from .running import Seen, look_through

# The surer one first.
_EMBEDDERS = ("arcface-ir-se50", "mobilefacenet")


def add_options(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_selection(parser)
    parser.add_argument(
        "--reference", metavar="PICTURE", type=Path, help="compare the faces with those of this picture"
    )
    parser.add_argument("--embedder", metavar="NAME|FILE", help="network for --reference; default: ArcFace, if found")
    parser.add_argument(
        "--draw", metavar="DIR", type=Path, help="write pictures with boxes and findings drawn on them here"
    )
    options.add_report(parser, "write all numbers here, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace existing drawings")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Tools:
    """Everything that is loaded once for all pictures."""

    detector: Detector
    embedder: Embedder | None
    reference: Reference | None


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a picture failed."""
    try:
        todo = plan_drawings(arguments.inputs, arguments.draw, overwrite=arguments.overwrite)
        refuse_report(arguments.report, todo)
        tools = _tools(arguments)
    except (InputError, ImageError, OSError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1

    def look(frames: Tensor) -> list[Seen]:
        faces = options.faces_of(frames, tools.detector, arguments)
        return [_seen(reports) for reports in report_faces(frames, faces, tools.embedder, tools.reference)]

    return look_through(todo, arguments.batch, look, arguments.draw is not None, arguments.report)


def _seen(reports: Sequence[FaceReport]) -> Seen:
    _, *lines = report_text([reports]).splitlines()
    faces, captions = [report.face for report in reports], [report_caption(report) for report in reports]
    return Seen(faces, report_data(reports), lines, captions)


def _tools(arguments: argparse.Namespace) -> _Tools:
    host = options.host_of(arguments)
    detector = options.detector_of(arguments, host)
    if arguments.reference is None:
        if arguments.embedder is not None:
            warn("--embedder does nothing without --reference.")
        return _Tools(detector, None, None)
    load = partial(load_embedder, host=host)
    embedder = options.load_preferred(arguments.embedder, "embedder", _EMBEDDERS, arguments.models, load)
    frames = load_image(arguments.reference).pixels[None]
    # Which faces are asked for says nothing of the picture that they are compared with.
    found = detector.faces_in(frames, options.detection_of(arguments))
    if found.count == 0:
        raise InputError(f"There is no face in {arguments.reference} to compare with.")
    return _Tools(detector, embedder, Reference(frames, found, by_place=False))
