"""Pictures in which there is no face, from folders of textures and wallpapers: ``python -m visage.training.things``.

Games and desktops come with thousands under free licences, as packages of Linux distributions. What is no picture of a
thing is left out (normal maps, atlases on black, drawings on nothing, plain ones, repetitions), and so is every picture
in which the detectors that make the labels see a face. **Look at what is left** (``contact.jpg``).
"""

from __future__ import annotations

import argparse
import io
import logging
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from .contact import cell, write_contact, write_picture
from .labels import LABELLERS
from .pictures import as_float

_SUFFIXES = (".jpg", ".jpeg", ".png", ".tga", ".webp")
_ARCHIVES = (".zip", ".pk3")
# Endings by which games mark what is no colour of a surface.
_NO_COLOUR = re.compile(
    r"_(nm?|norm(al)?|gloss(y)?|local|luma|glow|reflect|bump|spec|s|mask|height|blend|displace)$", re.IGNORECASE
)
_LEAST_SIDE, _MOST_SIDE = 192, 1024
# Standard deviation of plain pictures and brightness of black pixels, in levels; shares that may be black, see-through.
_PLAIN, _BLACK, _MOST_BLACK, _MOST_CLEAR = 8.0, 8, 0.15, 0.3
# Thumbnails of this side no pixel of which is further off than so many levels are of the same picture.
_THUMB, _ALIKE = 16, 12
_SETTINGS = DetectionSettings(confidence=0.3, working_size=512, tiles="never")
_AGREE = 2

_log = logging.getLogger(__name__)


def pictures_in(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and picture, ``[3, H, W]`` uint8, of all that serve in a folder, its subfolders and the archives there."""
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix in _ARCHIVES and path.is_file():
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if Path(name).suffix.lower() in _SUFFIXES:
                        yield from _told(Path(name).stem, archive.read(name))
        elif suffix in _SUFFIXES and path.is_file():
            yield from _told(path.stem, path.read_bytes())


def _told(name: str, data: bytes) -> Iterator[tuple[str, Tensor]]:
    if not _NO_COLOUR.search(name) and (picture := thing(data)) is not None:
        yield name, picture


def thing(data: bytes) -> Tensor | None:
    """A picture file as ``[3, H, W]`` uint8, its longer side at most 1024; ``None`` if it serves for nothing."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(data)).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    if min(picture.size) < _LEAST_SIDE:
        return None
    picture.thumbnail((_MOST_SIDE, _MOST_SIDE))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    colours, clear = pixels[:3], pixels[3] < 200
    plain = float(colours.float().std((1, 2)).mean()) < _PLAIN
    black = float((colours.amax(0) < _BLACK).float().mean()) > _MOST_BLACK
    return None if plain or black or float(clear.float().mean()) > _MOST_CLEAR else colours


def without_repetitions(pictures: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Each picture once, however often it is there in other sizes."""
    known: list[Tensor] = []
    for name, picture in pictures:
        thumb = F.adaptive_avg_pool2d(picture.float(), _THUMB).flatten()
        if not known or float((torch.stack(known) - thumb).abs().amax(1).min()) > _ALIKE:
            known.append(thumb)
            yield name, picture


def shows_a_face(picture: Tensor, detectors: Sequence[Detector]) -> bool:
    """Whether two detectors see one, or the first, the surest of them, does."""
    frames = as_float(picture.permute(1, 2, 0))[None]
    seen = [bool(detector.detect(frames, _SETTINGS)[0]) for detector in detectors]
    return seen[0] or sum(seen) >= _AGREE


def main(arguments: Sequence[str] | None = None) -> None:
    """Gathers pictures in which there is no face."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.things", description=main.__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="with pictures, or archives of them")
    parser.add_argument("--data", type=Path, required=True, help="folder with weights, for the detectors")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    host = TorchHost(options.device, quiet=True)
    detectors = [load_detector(options.data / "weights" / name, host) for name in LABELLERS]
    cells: list[Tensor] = []
    found = (one for folder in options.folders for one in pictures_in(folder))
    for number, (name, picture) in enumerate(without_repetitions(found)):
        if not shows_a_face(picture, detectors):
            write_picture(options.out / "pieces" / f"{number:05d}-{name}.png", picture)
            cells.append(cell(picture))
        if number % 200 == 199:
            _log.info("%d pictures, %d kept", number + 1, len(cells))
    write_contact(options.out / "contact.jpg", cells)


if __name__ == "__main__":
    main()
