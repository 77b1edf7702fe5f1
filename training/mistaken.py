"""What a detector takes for faces in pictures that have none: ``python -m visage.training.mistaken``.

The pieces that it cuts out are for the next training (``--without-faces``), whose pictures hold few of them by
themselves: hard negatives, as in Sung and Poggio, "Example-Based Learning for View-Based Human Face Detection", 1998.
**Look at them before** (``contact.jpg`` shows them all): a face among them would be unlearned.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..faces.face import Box, intersection_over_union
from ..faces.sampling import area_resize
from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from .contact import cell, write_contact, write_picture
from .labels import Label
from .pictures import as_float, picture_files, read_picture
from .sheets import free_pieces, sheets_of
from .sources import labelled

# Looked at in these shares of their size, up to as many pixels as composites have: larger ones would be shrunk, in a
# way of their own.
_SHRINKING = (1, 2, 4)
_LARGEST = 640
_LEAST_SIDE = 96
# Side of a piece over the longer side of the box, and its least side in pixels.
_ROOM, _LEAST_PIECE = 3.0, 48
_MOST_OF_ONE = 6
# Places beside faces are looked at once more in the size that sheets have in the training.
_SHEET = 256

_log = logging.getLogger(__name__)


def mistaken(picture: Tensor, label: Label | None, detector: Detector, score: float) -> Iterator[Tensor]:
    """Squares ``[3, side, side]`` uint8 around what is taken for a face and is none, the surest first.

    Those that show a part of a true face are left out.

    Args:
        picture: ``[3, H, W]`` uint8.
        label: of its faces; ``None`` where there are none.
        score: least one.
    """
    settings = DetectionSettings(confidence=score, working_size=_LARGEST, tiles="never")
    known = () if label is None else (*(face.box for face in label.faces), *label.doubtful)
    found: list[tuple[float, Tensor]] = []
    for shrinking in _SHRINKING:
        height, width = (side // shrinking for side in picture.shape[1:])
        if min(height, width) < _LEAST_SIDE:
            break
        if max(height, width) > _LARGEST:
            continue
        shown = as_float(picture.permute(1, 2, 0))
        shown = shown if shrinking == 1 else area_resize(shown, height, width)
        canvas = torch.full((1, _LARGEST, _LARGEST, 3), 0.5)
        canvas[0, :height, :width] = shown
        for face in detector.detect(canvas, settings)[0]:
            x, y, side = _square(face.box, height, width)
            seen = (x * shrinking, y * shrinking, (x + side) * shrinking, (y + side) * shrinking)
            if all(intersection_over_union(seen, box) == 0 for box in known):
                found.append((face.score, shown[y : y + side, x : x + side]))
    for _, piece in sorted(found, key=lambda one: -one[0])[:_MOST_OF_ONE]:
        yield piece.mul(255).round().byte().permute(2, 0, 1)


def _square(box: Box, height: int, width: int) -> tuple[int, int, int]:
    """Left and upper side of the square around a box that lies in the picture, and how long they are."""
    left, top, right, bottom = box
    side = min(height, width, max(_LEAST_PIECE, round(_ROOM * max(right - left, bottom - top))))
    x, y = round((left + right + 1 - side) / 2), round((top + bottom + 1 - side) / 2)
    return max(0, min(x, width - side)), max(0, min(y, height - side)), side


def main(arguments: Sequence[str] | None = None) -> None:
    """Cuts out of pictures what a detector takes for faces in them."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.mistaken", description=main.__doc__)
    parser.add_argument("--detector", type=Path, required=True, help="file of a detector")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument(
        "--labelled", default=None, metavar="FOLDER", help="as training.labels calls it, where they have faces"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pieces")
    parser.add_argument("--score", type=float, default=0.25, help="least one")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    detector = load_detector(options.detector, TorchHost(options.device, quiet=True))
    labels = {} if options.labelled is None else labelled(options.labelled)
    cells: list[Tensor] = []
    files = picture_files(options.pictures)
    for number, path in enumerate(files, 1):
        label = labels.get(path.name)
        # Where nothing was found there may be a face that all have missed.
        if options.labelled is None or (label is not None and label.faces):
            picture = read_picture(path)
            found = [*mistaken(picture, label, detector, options.score)]
            for free in free_pieces(picture, label) if label is not None else ():
                found += mistaken(sheets_of([free], _SHEET).levels[_SHEET][0], None, detector, options.score)
            for count, piece in enumerate(found):
                write_picture(options.out / "pieces" / f"{number:05d}-{path.stem}-{count}.png", piece)
            cells += map(cell, found)
        if number % 200 == 0 or number == len(files):
            _log.info("%d of %d pictures, %d pieces", number, len(files), len(cells))
    write_contact(options.out / "contact.jpg", cells)


if __name__ == "__main__":
    main()
