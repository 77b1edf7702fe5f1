"""``visage detect``: finds faces, and tells or draws where they are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..drawing import draw_faces
from ..faces.described import as_data
from ..faces.face import Face
from ..models.weights import WeightsError
from . import options
from .batches import Batch, Failures, batches
from .images import ImageError, save_image
from .inputs import InputError, plan_drawings
from .models import Subparsers
from .report import frame_described, write_report


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("detect", help="find faces in pictures")
    options.add_inputs(parser)
    options.add_detection(parser)
    parser.add_argument("--draw", metavar="DIR", type=Path, help="write pictures with the faces drawn on them here")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write boxes, scores and landmarks here")
    parser.add_argument("--overwrite", action="store_true", help="replace drawings that are there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a picture failed."""
    try:
        todo = plan_drawings(arguments.inputs, arguments.draw, overwrite=arguments.overwrite)
        host = options.host_of(arguments)
        detector = options.detector_of(arguments, host)
    except (InputError, OSError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 1
    failures = Failures.of(todo)
    frames = []
    for batch in batches(todo.jobs, arguments.batch, failures):
        try:
            found = detector.detect(batch.frames, options.detection_of(arguments))
        except (ValueError, RuntimeError, MemoryError) as error:
            failures.add_all(batch.jobs, error)
            continue
        width, height = batch.size
        for job, faces in zip(batch.jobs, found, strict=True):
            kept = options.chosen(faces, width, height, arguments)
            print(f"{job.source}: {len(kept)} face{'' if len(kept) == 1 else 's'}")
            target = job.target if arguments.draw else None
            frames.append(frame_described(job.source, target, width, height, map(as_data, kept)))
        if arguments.draw:
            _draw(batch, [options.chosen(faces, width, height, arguments) for faces in found], failures)
    if arguments.json:
        write_report(arguments.json, frames, failures.reasons)
    return failures.tell()


def _draw(batch: Batch, faces: Sequence[Sequence[Face]], failures: Failures) -> None:
    for job, picture, found in zip(batch.jobs, batch.pictures, faces, strict=True):
        try:
            save_image(job.target, replace(picture, pixels=draw_faces(picture.pixels, found)))
        except ImageError as error:
            failures.add(job, error)
