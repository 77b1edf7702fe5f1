"""How far bfloat16 leads each network away from fp32.

python -m visage.tests.parity.precision
"""

from __future__ import annotations

import copy
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network, forward
from visage.training.data import data_folder

from .fingerprints import NAMES, read_fingerprint, write_checkpoint

_PHOTOGRAPHS = (
    "dlib_faces/bald_guys.jpg",
    "dlib_faces/2008_002506.jpg",
    "dlib_faces/Tom_Cruise_avp_2014_4.jpg",
    "old_photos/old__a.webp",
    "presidents/099900.webp",
    "synthetic_1024/tpdne_03.webp",
)


@dataclass(frozen=True)
class Difference:
    """Between two pictures, in levels of 255."""

    mean: float
    p999: float
    most: float

    def __str__(self) -> str:
        return f"mean {self.mean:.2f}, p99.9 {self.p999:.1f}, max {self.most:.1f}"


def bf16_difference(network: Network, images: Tensor) -> Difference:
    """Runs the network in fp32 and in bfloat16, weights and activations, over ``[N, 3, H, W]`` in 0..1."""
    exact = forward(network, network.module, images, torch.float32).clamp(0, 1)
    coarse_module = copy.deepcopy(network.module).bfloat16()
    coarse = forward(network, coarse_module, images, torch.bfloat16).clamp(0, 1)
    levels = ((exact - coarse).abs() * 255).flatten()
    high = levels.kthvalue(round(levels.numel() * 0.999)).values
    return Difference(float(levels.mean()), float(high), float(levels.max()))


def photographs(folder: Path, side: int) -> Tensor:
    """Squares of ``side`` pixels out of real photographs, ``[N, 3, side, side]`` in 0..1."""
    squares = []
    for name in _PHOTOGRAPHS:
        pixels = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        top, left = (pixels.shape[0] - side) // 3, (pixels.shape[1] - side) // 2
        squares.append(torch.from_numpy(pixels[top : top + side, left : left + side].copy()).permute(2, 0, 1))
    return torch.stack(squares).float() / 255


def main() -> None:
    """Prints one line for each network."""
    data = data_folder()
    upscaler = data / "weights" / "realesr-general-x4v3.pth"
    if upscaler.is_file():
        difference = bf16_difference(load_network(upscaler), photographs(data / "photos", 128))
        sys.stdout.write(f"realesr-general-x4v3: {difference}\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            fingerprint = read_fingerprint(name)
            path = Path(folder) / f"{name}.pth"
            write_checkpoint(fingerprint, path)
            try:
                sys.stdout.write(f"{name}: {bf16_difference(load_network(path), fingerprint.crop())}\n")
            except RuntimeError as error:
                sys.stdout.write(f"{name}: does not run ({error})\n")
            path.unlink()


if __name__ == "__main__":
    main()
