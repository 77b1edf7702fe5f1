"""``visage detect``: finds faces, and tells or draws where they are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..faces.described import as_data
from ..models.weights import WeightsError
from . import options
from .batches import UNDONE, batches, begin
from .console import say, say_to_reader
from .inputs import InputError, plan_drawings, refuse_report
from .json_report import frame_described, reporting
from .results import draw


def add_parser(subparsers: options.Subparsers[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("detect", help="find faces in pictures")
    options.add_inputs(parser)
    options.add_selection(parser)
    parser.add_argument("--draw", metavar="DIR", type=Path, help="write pictures with the faces drawn on them here")
    options.add_report(parser, "write boxes, scores and landmarks here, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace drawings that are there")
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
    failures = begin(todo)
    # Without files there is nothing to go on for where nobody reads.
    tell = say_to_reader if arguments.draw is None and arguments.report is None else say
    with reporting(arguments.report, todo, failures) as told:
        for batch in batches(todo, arguments.batch, failures, written=arguments.draw is not None):
            try:
                found = detector.detect(batch.frames, options.detection_of(arguments))
            except UNDONE as error:
                failures.add_all(batch.jobs, error)
                continue
            width, height = batch.size
            for job, picture, faces in zip(batch.jobs, batch.pictures, found, strict=True):
                kept = options.chosen(faces, width, height, arguments)
                tell(f"{job.source}: {len(kept)} face{'' if len(kept) == 1 else 's'}")
                target = job.target if arguments.draw is not None and draw(job, picture, kept, failures) else None
                told.append(frame_described(job.source, target, width, height, map(as_data, kept)))
    return failures.code
