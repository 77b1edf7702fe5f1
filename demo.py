"""``make demo``: a small, compressed photograph goes in, and the result is laid beside what it once was.

The photograph is NASA's portrait of Eileen Collins (public domain), which comes with scikit-image. It is shrunk to
half its size and saved as a poor JPEG; Visage finds the face in it, enlarges the picture, and restores the face, with
the weights that it comes with.
"""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .cli.images import Picture, save_image
from .drawing import side_by_side
from .faces.face import Face, resized
from .faces.resizing import resize_frames
from .models import builtin
from .models.detectors import load_detector
from .models.host import TorchHost
from .models.locations import find_weights
from .models.restorers import load_restorer
from .pipeline import RestoreSettings, restore
from .training.texture import energies

_TARGET = Path(__file__).resolve().parent / "demo-output" / "before-after-original.png"
_QUALITY = 40
_FACTOR = 2


@dataclass(frozen=True)
class Demo:
    """What came out.

    Attributes:
        before: ``[512, 512, 3]``: the small picture, enlarged without Visage.
        after, original: likewise.
        face: the face that was found, in pixels of these.
        seconds: that finding and restoring took.
    """

    before: Tensor
    after: Tensor
    original: Tensor
    face: Face
    seconds: float

    def figures(self) -> str:
        """A table: how near the face is to the original, before and after."""
        true = self._crop(self.original)
        lines = ["face        PSNR    fine texture, of the original's"]
        for name, picture in (("before", self.before), ("after", self.after)):
            crop = self._crop(picture)
            error = float((crop - true).square().mean())
            share = float(energies(crop).sum() / energies(true).sum())
            lines.append(f"{name:8} {-10 * np.log10(error):5.2f} dB    {share:.2f}")
        return "\n".join(lines)

    def _crop(self, picture: Tensor) -> Tensor:
        left, top, right, bottom = (round(value) for value in self.face.box)
        return picture[top:bottom, left:right].movedim(-1, 0)[None]


def demo() -> Demo:
    """Degrades and restores the photograph."""
    host = TorchHost(quiet=True)
    detector = load_detector(find_weights(builtin.DETECTOR, "detector"), host)
    restorer = load_restorer(find_weights(builtin.RESTORER, "restorer"), host)
    original = _photograph()
    small = _degraded(original)
    enlarged = resize_frames(small, _FACTOR)
    begun = time.perf_counter()
    with torch.inference_mode():
        faces = detector.faces_in(small)
        restored = restore(small, faces, restorer, host, RestoreSettings(), enlarged)
    seconds = time.perf_counter() - begun
    return Demo(enlarged[0], restored.frames[0], original[0], resized(faces.frames[0][0], _FACTOR), seconds)


def main() -> int:
    done = demo()
    save_image(_TARGET, Picture(side_by_side([done.before, done.after, done.original])))
    print(done.figures())
    print(f"Found and restored in {done.seconds:.1f} s. Before, after and the original at 100 %: {_TARGET}")
    return 0


def _photograph() -> Tensor:
    """``[1, 512, 512, 3]``"""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut().astype(np.float32) / 255)[None]


def _degraded(frames: Tensor) -> Tensor:
    """Half the size, after JPEG at quality 40."""
    from PIL import Image

    small = (resize_frames(frames, 1 / _FACTOR)[0] * 255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=_QUALITY)
    return torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32) / 255)[None]


if __name__ == "__main__":
    sys.exit(main())
