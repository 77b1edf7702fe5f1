"""Measures detectors side by side: a table, its numbers as JSON, and contact sheets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing import draw_faces, side_by_side
from ..faces.face import Face, in_reading_order, resized
from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from .contact import write_picture
from .detection_scores import Scores, scored
from .detector_sets import (
    composed,
    groups,
    measuring_sources,
    photographs,
    portraits,
    without_faces,
)
from .labels import LABELLERS
from .scenes import Scene, blurred, cut_close, eyes_barred, in_dark_glasses, masked

# Faces are looked for down to a low score, so that the score that gives the precision asked for can be found.
_ANY_SCORE = DetectionSettings(confidence=0.05, tiles="never")
_USUAL = DetectionSettings(tiles="never")
_SIZES = (32.0, 16.0)
_COMPOSITES = 60
# Blurs as shares of the height of a face, and what is cut off closely cut portraits at every side.
_BLURS = (0.035, 0.05, 0.07)
_CUT = 0.08
# On a contact sheet: pictures of each set, in a row, and the height of a row.
_SHOWN = 6
_ROW = 320


@dataclass(frozen=True)
class DetectorMeasures:
    """One detector on all sets.

    Attributes:
        name: of its file.
        scores: by set and smallest size, as ``dlib, 32 px``.
        false_alarms: pictures without a face in which it gives one at the usual confidence, ...
        without_faces: ... of this many.
    """

    name: str
    scores: dict[str, Scores]
    false_alarms: int
    without_faces: int


Found = Mapping[str, list[list[Face]]]


def found_in(detector: Detector, sets: Mapping[str, Sequence[Scene]], settings: DetectionSettings) -> Found:
    """The faces given in each picture of each set."""
    return {
        title: [detector.detect(scene.picture[None], settings)[0] for scene in scenes] for title, scenes in sets.items()
    }


def measured(
    name: str, sets: Mapping[str, Sequence[Scene]], empty: Sequence[Scene], found: Found, usual: Found
) -> DetectorMeasures:
    """From what a detector found.

    Args:
        sets: with faces.
        empty: without.
        found: in each picture of each set, down to a low score.
        usual: the same at the usual least score, and under the empty name in the pictures without faces.
    """
    scores = {
        f"{title}, {size:.0f} px": scored(scenes, found[title], usual[title], size)
        for title, scenes in sets.items()
        for size in _SIZES
    }
    return DetectorMeasures(name, scores, sum(map(bool, usual[""])), len(empty))


def table(measures: Sequence[DetectorMeasures]) -> str:
    """Markdown: a row for each detector and set."""
    lines = [
        "| detector | faces of at least | number | recall at precision 0.95 | rolled 20 to 60 degrees | score there "
        f"| landmark error / eye distance | recall at {_USUAL.confidence} | false boxes at {_USUAL.confidence} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in measures:
        for title, scores in one.scores.items():
            numbers = (
                str(scores.faces),
                f"{scores.recall:.3f}",
                _told(scores.rolled_recall),
                f"{scores.threshold:.2f}",
                _told(scores.landmark_error),
                f"{scores.usual_recall:.3f}",
                str(scores.usual_false),
            )
            lines.append(f"| {one.name} | {title} | {' | '.join(numbers)} |")
    lines += ["", f"| detector | false alarms at {_USUAL.confidence} | pictures without a face |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.false_alarms} | {one.without_faces} |" for one in measures]
    return "\n".join(lines) + "\n"


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def contact_sheet(rows: Sequence[Sequence[tuple[Scene, Sequence[Face]]]]) -> Tensor:
    """Rows of pictures with the faces drawn, ``[H, W, 3]``."""
    strips = [side_by_side([_shown(scene, faces) for scene, faces in row]) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    return torch.cat([F.pad(strip, (0, 0, 0, width - strip.shape[1], 0, 8), value=1.0) for strip in strips])


def _shown(scene: Scene, faces: Sequence[Face]) -> Tensor:
    height, width = scene.picture.shape[:2]
    scale = _ROW / height
    size = (_ROW, round(width * scale))
    picture = F.interpolate(scene.picture.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)[0]
    return draw_faces(picture.permute(1, 2, 0), in_reading_order(resized(face, scale) for face in faces))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures detectors on photographs, portraits and composites with known faces, and on pictures without faces."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.evaluate detector", description=main.__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="detector files, beside the three that made the labels")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos, portraits, faces512, weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and the contact sheets")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    parser.add_argument("--composites", type=int, default=_COMPOSITES, help="how many composites to make")
    parser.add_argument("--most", type=int, default=None, help="use at most this many pictures of each set")
    options = parser.parse_args(arguments)
    host = TorchHost(options.device, quiet=True)
    judges = [load_detector(options.data / "weights" / name, host) for name in LABELLERS]
    sources = measuring_sources(options.data, judges)
    chosen = _some(portraits(options.data, judges), options.most)
    sets = {
        "dlib": _some(photographs(options.data), options.most),
        "portraits": chosen,
        **{f"portraits blurred by {share}": [blurred(scene, share) for scene in chosen] for share in _BLURS},
        "portraits cut close": [cut_close(scene, _CUT) for scene in chosen],
        "portraits in masks": [masked(scene, number) for number, scene in enumerate(chosen)],
        "portraits with barred eyes": [eyes_barred(scene) for scene in chosen],
        "portraits in dark glasses": [in_dark_glasses(scene) for scene in chosen],
        "composites": composed(sources, options.composites, worn=False),
        "worn composites": composed(sources, options.composites, worn=True),
    }
    people = groups(options.data, judges)
    empty = _some(without_faces(options.data, judges), options.most)
    options.out.mkdir(parents=True, exist_ok=True)
    measures = []
    for detector in [*(load_detector(path, host) for path in options.files), *judges]:
        found = found_in(detector, {**sets, **people}, _ANY_SCORE)
        usual = found_in(detector, {**sets, **people, "": empty}, _USUAL)
        measures.append(measured(detector.name, {**sets, **people}, empty, found, usual))
        sheet = _sheet(sets, empty, usual).clamp(0, 1).mul(255).round().byte()
        write_picture(options.out / f"{Path(detector.name).stem}.png", sheet.permute(2, 0, 1))
    (options.out / "detectors.md").write_text(table(measures), encoding="utf-8")
    text = json.dumps([asdict(one) for one in measures], indent=1)
    (options.out / "detectors.json").write_text(text + "\n", encoding="utf-8")


def _some(scenes: list[Scene], most: int | None) -> list[Scene]:
    """At most that many, evenly chosen."""
    return scenes if most is None else scenes[:: -(-len(scenes) // most)]


def _sheet(sets: Mapping[str, Sequence[Scene]], empty: Sequence[Scene], found: Found) -> Tensor:
    """A row of each set, and of pictures without faces: those with a false alarm first."""
    rows = []
    for title, scenes in sets.items():
        step = max(1, len(scenes) // _SHOWN)
        rows.append(list(zip(scenes, found[title], strict=True))[::step][:_SHOWN])
    surest = sorted(zip(empty, found[""], strict=True), key=lambda one: -max((f.score for f in one[1]), default=0.0))
    return contact_sheet([*rows, surest[:_SHOWN]])


if __name__ == "__main__":
    main()
