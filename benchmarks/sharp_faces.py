"""What is left of the finest detail of faces that were sharp already: Visage against facexlib's FaceRestoreHelper.

Both get the same landmarks and the same network, visage-restore. The pictures are the generated portraits of the data.

    python benchmarks/sharp_faces.py [--data DATA] [--most N]
    python benchmarks/sharp_faces.py --enlarge N [--upscaler NAME|FILE]

With --enlarge the portraits are first shrunk N times, and faces are put into the enlarged pictures: measured against
the portraits as they were.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.face import Face, Faces
from visage.faces.resizing import resize_frames, resize_frames_to
from visage.models import builtin
from visage.models.detectors import Detector, load_detector
from visage.models.host import TorchHost
from visage.models.locations import find_weights
from visage.models.restorers import Restorer, load_restorer
from visage.models.upscaler import Upscaler, load_upscaler
from visage.pipeline import RestoreSettings, restore
from visage.training.data import data_folder
from visage.training.pictures import as_float, read_picture

SIDES = (384, 512, 1024)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--most", type=int, default=20, help="pictures (default 20)")
    parser.add_argument("--enlarge", type=int, metavar="N", help="shrink the pictures first, and enlarge them again")
    parser.add_argument("--upscaler", metavar="NAME|FILE", help="enlarges them (default: cubic interpolation)")
    arguments = parser.parse_args()
    host = TorchHost(quiet=True)
    detector = load_detector(builtin.FOLDER / f"{builtin.DETECTOR}.safetensors", host)
    restorer = load_restorer(builtin.FOLDER / f"{builtin.RESTORER}.safetensors", host)
    paths = sorted((arguments.data / "photos" / "synthetic_1024").glob("*.webp"))[: arguments.most]
    if arguments.enlarge:
        upscaler = arguments.upscaler and load_upscaler(find_weights(arguments.upscaler, "upscaler"), host)
        _enlarged(paths, arguments.enlarge, upscaler, detector, restorer, host)
        return
    print("PSNR of the face, and its finest detail over that of the picture")
    print(f"{'side':>6}{'faces':>7}{'facexlib':>22}{'Visage':>22}")
    for side in SIDES:
        rows = []
        for path in paths:
            picture = as_float(read_picture(path)).movedim(0, -1)[None]
            frames = picture if picture.shape[1] == side else resize_frames_to(picture, side, side).clamp(0, 1)
            frames = (frames * 255).round() / 255
            found = detector.detect(frames)[0]
            if len(found) != 1:
                continue
            faces = Faces(side, side, (tuple(found),))
            ours = restore(frames, faces, restorer, host, RestoreSettings())
            theirs = _facexlib(frames[0], frames[0], found[0], restorer)
            inside = ours.changed[0] > 0.99
            rows.append([*_judged(theirs, frames[0], inside), *_judged(ours.frames[0], frames[0], inside)])
        first, second, third, fourth = np.mean(rows, axis=0)
        print(f"{side:6}{len(rows):7}{first:11.1f} dB{second:9.2f}{third:11.1f} dB{fourth:9.2f}")


def _enlarged(
    paths: Sequence[Path],
    factor: int,
    upscaler: Upscaler | None,
    detector: Detector,
    restorer: Restorer,
    host: TorchHost,
) -> None:
    rows = []
    for path in paths:
        picture = as_float(read_picture(path)).movedim(0, -1)
        frames = (resize_frames(picture[None], 1 / factor) * 255).round() / 255
        faces = detector.faces_in(frames)
        if len(faces.frames[0]) != 1:
            continue
        canvas = upscaler.upscale(frames, factor) if upscaler else resize_frames(frames, factor)
        ours = restore(frames, faces, restorer, host, RestoreSettings(), canvas)
        theirs = _facexlib(frames[0], canvas[0], faces.frames[0][0], restorer)
        inside = ours.changed[0] > 0.99
        rows.append([_judged(result, picture, inside) for result in (canvas[0], theirs, ours.frames[0])])
    means, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
    print(f"{len(rows)} faces: PSNR, and finest detail over that of the portrait; means and standard deviations")
    for name, mean, deviation in zip(("enlarged", "facexlib", "Visage"), means, spread, strict=True):
        print(f"{name:10}{mean[0]:8.2f} ± {deviation[0]:.2f} dB{mean[1]:8.2f} ± {deviation[1]:.2f}")


def _facexlib(frame: Tensor, canvas: Tensor, face: Face, restorer: Restorer) -> Tensor:
    """``[H, W, 3]``: the canvas, which is the frame or an enlargement of it, with the restored face."""
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper

    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)  # Its constructor downloads two networks.
    helper.upscale_factor, helper.face_size, helper.crop_ratio = len(canvas) // len(frame), (512, 512), (1, 1)
    helper.face_template = np.array(FFHQ.points)
    helper.use_parse = helper.pad_blur = False
    helper.clean_all()
    helper.read_image((frame.numpy() * 255).round().astype(np.uint8))
    helper.all_landmarks_5 = [np.array(face.landmarks)]
    helper.align_warp_face()
    crop = torch.from_numpy(helper.cropped_faces[0]).movedim(-1, 0)[None].float() / 255
    restored = restorer.restore(crop)[0].movedim(0, -1)
    helper.add_restored_face((restored.numpy() * 255).round().astype(np.uint8))
    helper.get_inverse_affine()
    beneath = (canvas.numpy() * 255).round().astype(np.uint8)
    return torch.from_numpy(helper.paste_faces_to_input_image(upsample_img=beneath)).float() / 255


def _judged(result: Tensor, picture: Tensor, inside: Tensor) -> tuple[float, float]:
    """PSNR in dB, at most that of 8 bits, and the share of the detail."""
    error = float((result[inside] - picture[inside]).square().mean())
    return -10 * np.log10(error + 1 / 12 / 255**2), float(
        _detail(result)[inside].mean() / _detail(picture)[inside].mean()
    )


def _detail(picture: Tensor) -> Tensor:
    """``[H, W]``: how far the brightness of each pixel is from its four neighbours'."""
    brightness = picture.mean(-1)
    around = sum(brightness.roll(step, axis) for step in (-1, 1) for axis in (0, 1))
    return (4 * brightness - around).abs()


if __name__ == "__main__":
    main()
