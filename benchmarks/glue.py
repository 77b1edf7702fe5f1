"""Align, mask and paste: Visage against facexlib's FaceRestoreHelper, without detection and network.

Both get the same landmarks and the same restored faces (the crops themselves), and both use a soft square mask.

    python benchmarks/glue.py [--json FILE]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from timing import in_turn, options, write_json
from visage.faces.alignment import FFHQ
from visage.faces.crops import extract, plan_crops
from visage.faces.face import Face
from visage.faces.memory import duplicate
from visage.pipeline import BlendSettings, paste_crops

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
ANGLES = (-25, 10, 5, -8, 30, -3, 15, 0)


def main() -> None:
    arguments = options(__doc__ or "", rounds=9).parse_args()
    figures: dict[str, object] = {"torch threads": torch.get_num_threads()}
    print(f"{torch.get_num_threads()} threads, median of {arguments.rounds} rounds")
    for square in (300, 405):
        box = square / FFHQ.box_share
        print(f"Faces whose aligned square is {square} px in the picture (a detector's box of about {box:.0f} px)")
        print(f"{'':18}{'facexlib':>12}{'Visage':>12}{'ratio':>9}{'without the copy':>20}")
        for name, (width, height) in SIZES.items():
            picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
            frames = torch.from_numpy(picture.astype(np.float32) / 255)[None]
            for count in (1, 8):
                faces = [_face(index, width, height, square) for index in range(count)]
                ours, theirs = in_turn([_visage(frames, faces), _facexlib(picture, faces)], arguments.rounds)
                (copy,) = in_turn([partial(duplicate, frames)], arguments.rounds)
                label = f"{name}, {count} face{'s' if count > 1 else ''}"
                print(
                    f"{label:18}{theirs * 1e3:9.0f} ms{ours * 1e3:9.1f} ms{theirs / ours:8.1f}x"
                    f"{(ours - copy) * 1e3:17.1f} ms"
                )
                seconds = {"facexlib": theirs, "visage": ours, "ratio": theirs / ours, "copy": copy}
                figures[f"{label} of {square} px"] = seconds
    write_json(arguments.json, figures)


def _face(index: int, width: int, height: int, square: float) -> Face:
    """One of eight faces in two rows of four, turned by different angles."""
    x, y = width * (index % 4 + 0.5) / 4, height * (index // 4 + 0.5) / 2
    turn, unit = math.radians(ANGLES[index]), square / FFHQ.size
    points = []
    for px, py in FFHQ.points:
        dx, dy = (px - 255.5) * unit, (py - 255.5) * unit
        points.append((x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)))
    half = square / FFHQ.box_share / 2
    return Face((x - half, y - half, x + half, y + half), landmarks=tuple(points))  # type: ignore[arg-type]


def _visage(frames: torch.Tensor, faces: list[Face]) -> Callable[[], object]:
    batch, height, width, _ = frames.shape

    @torch.inference_mode()
    def run() -> torch.Tensor:
        crops = plan_crops([(0, face) for face in faces], 512, width, height, batch)
        # Colours are left alone, as facexlib leaves them.
        return paste_crops(frames, crops, extract(frames, crops), BlendSettings(colour=0.0))[0]

    return run


def _facexlib(picture: np.ndarray, faces: list[Face]) -> Callable[[], object]:
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper

    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)  # Its constructor downloads two networks.
    helper.upscale_factor, helper.face_size, helper.crop_ratio = 1, (512, 512), (1, 1)
    helper.face_template = np.array(FFHQ.points)
    helper.use_parse = helper.pad_blur = False

    def run() -> object:
        helper.clean_all()
        helper.read_image(picture)
        helper.all_landmarks_5 = [np.array(face.landmarks) for face in faces]
        helper.align_warp_face()
        for crop in helper.cropped_faces:
            helper.add_restored_face(crop)
        helper.get_inverse_affine()
        return helper.paste_faces_to_input_image()

    return run


if __name__ == "__main__":
    main()
