"""How much faces tremble in a video, as they are found and as Track Faces holds them.

The videos are photographs of the data before which a camera moves, with noise and JPEG blocks of their own in each
frame, so it is known where a face goes. Where it is at all is the median over the frames: what a detector always gets
wrong does not count.

    python benchmarks/tracking.py [--data DATA] [--frames N] [DETECTOR ...]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from visage.faces.alignment import FFHQ
from visage.faces.face import Faces
from visage.faces.tracking import Person, TrackSettings, cuts_in, people_in
from visage.models import builtin
from visage.models.detectors import load_detector
from visage.models.host import TorchHost
from visage.models.locations import find_weights
from visage.training.data import data_folder

# Portraits of 1024 px, and photographs of groups, each with the scale at which it is seen.
PHOTOGRAPHS = {
    "synthetic_1024/tpdne_00.webp": 0.4,
    "synthetic_1024/tpdne_03.webp": 0.4,
    "dlib_faces/bald_guys.jpg": 0.45,
    "dlib_faces/2008_007676.jpg": 0.95,
    "dlib_faces/2009_004587.jpg": 0.95,
}
WIDTH, HEIGHT = 640, 400
NOISE, QUALITY = 8, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="*", default=[builtin.DETECTOR], metavar="DETECTOR", help="names or files")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--frames", type=int, default=40)
    arguments = parser.parse_args()
    for name in arguments.detectors:
        detector = load_detector(find_weights(name, "detector"), TorchHost(quiet=True))
        people, rows = 0, []
        for seed, (photograph, scale) in enumerate(PHOTOGRAPHS.items()):
            picture = cv2.imread(str(arguments.data / "photos" / photograph))
            matrices = list(_camera(picture.shape[1], picture.shape[0], scale, arguments.frames, seed))
            frames = _video(picture, scale, matrices, seed)
            faces = detector.faces_in(frames)
            found, held = (_all_along(faces, frames, smoothing) for smoothing in (0, TrackSettings().smoothing))
            people += len(found)
            rows += [
                (*_trembling(before, before, matrices), *_trembling(after, before, matrices))
                for before, after in zip(found, held, strict=True)
                if before.faces[0].landmarks is not None
            ]
        print(f"{name}: {people} faces in all of {arguments.frames} frames")
        if rows:
            before, off, after, still_off = 100 * np.mean(rows, axis=0)
            print(f"  from frame to frame {before:.2f} % of the eye distance, tracked {after:.2f} %")
            print(f"  off their place     {off:.2f} %, tracked {still_off:.2f} %")


def _camera(width: int, height: int, scale: float, count: int, seed: int) -> Iterator[np.ndarray]:
    """Held in the hand: for each frame the matrix ``[2, 3]`` from the photograph to it."""
    phases = np.random.default_rng(seed).uniform(0, 2 * math.pi, 6)

    for time in range(count):

        def swing(period: float, which: int, time: int = time) -> float:
            return math.sin(2 * math.pi * time / period + phases[which])

        zoom = scale * (1 + 0.02 * swing(60, 0))
        angle = math.radians(swing(35, 1))
        right = WIDTH * (0.01 * swing(25, 2) + 0.0012 * swing(7, 4))
        down = HEIGHT * (0.006 * swing(18, 3) + 0.0012 * swing(6, 5))
        turned = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        middle = np.array([WIDTH / 2 + right, HEIGHT / 2 + down]) - turned @ (width / 2, height / 2)
        yield np.column_stack([turned, middle])


def _video(picture: np.ndarray, scale: float, matrices: list[np.ndarray], seed: int) -> torch.Tensor:
    """``[B, H, W, 3]``"""
    draw = np.random.default_rng(seed)
    # What would alias when it is shrunk.
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.5 * math.sqrt(1 / scale**2 - 1), 0.1))
    frames = []
    for matrix in matrices:
        seen = cv2.warpAffine(soft, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noisy = np.clip(seen + draw.normal(0, NOISE, seen.shape), 0, 255).astype(np.uint8)
        saved = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        frames.append(cv2.imdecode(saved, cv2.IMREAD_COLOR)[..., ::-1] / np.float32(255))
    return torch.from_numpy(np.stack(frames))


def _all_along(faces: Faces, frames: torch.Tensor, smoothing: int) -> list[Person]:
    """Those who are there from the first frame to the last."""
    people = people_in(faces, cuts_in(frames), TrackSettings(smoothing=smoothing))
    return [person for person in people if len(person.faces) == len(frames)]


def _trembling(person: Person, reference: Person, matrices: list[np.ndarray]) -> tuple[float, float]:
    """Of the aligned crop, at its middle and a face's width around it, in distances of the eyes: how far it goes from
    frame to frame that the photograph does not, and how far it is from where the reference is in the middle."""
    places, usual = (_places(each, matrices) for each in (person, reference))
    middle = np.median(usual, axis=0)
    eyes = abs(middle[1] - middle[2]) / 2
    return (
        float(np.sqrt(np.square(np.abs(np.diff(places, axis=0))).mean()) / eyes),
        float(np.sqrt(np.square(np.abs(places - middle)).mean()) / eyes),
    )


def _places(person: Person, matrices: list[np.ndarray]) -> np.ndarray:
    """``[T, 5]``, complex, in the photograph: the middle of the face, and one eye distance to each of its sides."""
    upright = np.array([complex(*point) for point in FFHQ.points])
    eyes = abs(upright[1] - upright[0])
    upright -= upright.mean()
    around = eyes * np.array([0, 1, -1, 1j, -1j])
    places = []
    for number, face in person.faces.items():
        points = np.array([complex(*point) for point in face.landmarks or ()])
        turned = ((points - points.mean()) @ upright.conj()) / (upright @ upright.conj())
        there = points.mean() + turned * around
        back = np.linalg.inv(matrices[number][:, :2]) @ (np.array([there.real, there.imag]) - matrices[number][:, 2:])
        places.append(back[0] + 1j * back[1])
    return np.array(places)


if __name__ == "__main__":
    main()
