"""``make demo``: a small, compressed photograph goes in, and the result is laid beside what it once was.

The photograph is NASA's portrait of Eileen Collins (public domain), which comes with scikit-image. It is shrunk to
half its size and saved as a poor JPEG; Visage enlarges it again and restores the face.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .cli.images import Picture, save_image
from .drawing import side_by_side
from .faces.face import Faces
from .models.detectors import load_detector
from .models.host import TorchHost
from .models.locations import find_weights
from .models.restorers import load_restorer
from .models.upscaler import load_upscaler, resize_frames
from .pipeline import RestoreSettings, restore

_ROOT = Path(__file__).resolve().parent
_TARGET = _ROOT / "demo-output" / "before-after-original.png"
# Small real weights that are kept beside a development checkout.
_WEIGHTS = [_ROOT.parent / "shared" / "data" / "weights"]
_DETECTOR, _RESTORER = "yolov8n-face", "realesr-general-x4v3"


def main() -> int:
    host = TorchHost()
    try:
        detector = load_detector(find_weights(_DETECTOR, "detector", _WEIGHTS), host)
        restorer_file = find_weights(_RESTORER, "restorer", _WEIGHTS)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    original = _photograph()
    small = _degraded(original)
    height, width = small.shape[1:3]
    with torch.inference_mode():
        faces = Faces(width, height, tuple(tuple(found) for found in detector.detect(small)))
        background = load_upscaler(restorer_file, host).upscale(small, 2)
        restored = restore(small, faces, load_restorer(restorer_file, host), host, RestoreSettings(), background)
    strip = side_by_side([resize_frames(small, 2)[0], restored.frames[0], original[0]])
    save_image(_TARGET, Picture(strip))
    print(f"Restored {faces.count} face. Before, after and the original at 100 %: {_TARGET}")
    return 0


def _photograph() -> Tensor:
    """``[1, 512, 512, 3]``"""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut().astype(np.float32) / 255)[None]


def _degraded(frames: Tensor) -> Tensor:
    """Half the size, after JPEG at quality 40."""
    from PIL import Image

    small = (resize_frames(frames, 0.5)[0] * 255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=40)
    return torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32) / 255)[None]


if __name__ == "__main__":
    sys.exit(main())
