"""How true shrinking is to the area of each pixel: root mean square error, in levels of 255, on a photograph.

The reference averages 6 x 6 bicubic samples over every pixel of the result. The photograph comes with scikit-image.

    python benchmarks/sampling.py [--json FILE]
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from skimage.data import astronaut
from timing import options, write_json
from visage.faces.geometry import apply, compose, resize_matrix
from visage.faces.sampling import view

FINE = 6


def main() -> None:
    arguments = options(__doc__ or "", rounds=1).parse_args()
    picture = astronaut().astype(np.float32) / 255
    figures = {}
    print(f"{'shrink':>8}{'Visage':>10}{'bilinear':>10}{'bicubic':>10}{'area, then bilinear':>22}")
    for shrink in (1.05, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0):
        side = int(300 / shrink)
        matrix = _turned(shrink, side)
        fine = _opencv(picture, compose(resize_matrix(FINE), matrix), side * FINE, cv2.INTER_CUBIC)
        truth = fine.reshape(side, FINE, side, FINE, 3).mean((1, 3))
        reduced = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        back = resize_matrix(picture.shape[1] / reduced.shape[1], picture.shape[0] / reduced.shape[0])
        results = {
            "visage": view(torch.from_numpy(picture), matrix, side, side).numpy(),
            "bilinear": _opencv(picture, matrix, side, cv2.INTER_LINEAR),
            "bicubic": _opencv(picture, matrix, side, cv2.INTER_CUBIC),
            "area": _opencv(reduced, compose(matrix, back), side, cv2.INTER_LINEAR),
        }
        errors = {name: float(np.sqrt(((result - truth) ** 2).mean())) * 255 for name, result in results.items()}
        print(f"{shrink:8.2f}" + "".join(f"{error:10.2f}" for error in errors.values()))
        figures[str(shrink)] = errors
    write_json(arguments.json, figures)


def _turned(shrink: float, side: int) -> torch.Tensor:
    """A window of ``side`` pixels around the middle, turned by 13 degrees."""
    turn = math.radians(13)
    a, b = math.cos(turn) / shrink, math.sin(turn) / shrink
    matrix = torch.tensor([[a, -b, 0], [b, a, 0]], dtype=torch.float64)
    matrix[:, 2] += side / 2 - apply(matrix, torch.tensor([[256.3, 256.7]], dtype=torch.float64))[0]
    return matrix


def _opencv(picture: np.ndarray, matrix: torch.Tensor, side: int, flag: int) -> np.ndarray:
    return cv2.warpAffine(picture, matrix.numpy(), (side, side), flags=flag, borderMode=cv2.BORDER_REPLICATE)


if __name__ == "__main__":
    main()
