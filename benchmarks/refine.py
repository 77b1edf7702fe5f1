"""The refine pass without model and VAE: Visage against what the Impact Pack's detailer does with the same libraries.

The model gives back what it gets, so that what is timed is windows, masks, colour and paste. The other side re-enacts
FaceDetailer at its defaults (guide size 512 for the box, crop factor 3, feather 5, noise mask feather 20, dilation 10)
step by step: a float mask of the whole frame for every box and its dilation in OpenCV, the crop in NumPy, 8-bit Lanczos
in PIL both ways, Gaussian blurs of 11 and 41 pixels in torchvision, the paste and the crop with alpha in torch. It has
no colour step; ours is timed with one. Both compute on the CPU, where ComfyUI's images lie, so there is no choice of
device.

    python benchmarks/refine.py [--json FILE]
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image
from timing import in_turn, options, write_json
from torch import Tensor
from torchvision.transforms import GaussianBlur
from visage.faces.face import Face, Faces
from visage.models.host import Progress, TorchHost
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import RefineSettings, refine

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
# Boxes of faces, in pixels of the frame.
BOXES = ((120, 150), (300, 375), (480, 600))


class PassThrough:
    """A model that gives back what it gets."""

    name = "pass-through"
    multiple = 8
    knows_levels = False

    def steps(self, sampling: Sampling) -> int:
        return 1

    def repaint(self, work: Repaint, sampling: Sampling, progress: Progress) -> Tensor:
        return work.pixels.clone()


def main() -> None:
    arguments = options(__doc__ or "", rounds=5).parse_args()
    figures: dict[str, object] = {"torch threads": torch.get_num_threads()}
    print(f"{torch.get_num_threads()} threads, median of {arguments.rounds} rounds")
    print(f"{'':34}{'Impact Pack':>14}{'Visage':>12}{'ratio':>9}   for each face")
    for name, (width, height) in SIZES.items():
        picture = np.random.default_rng(1).random((height // 8, width // 8, 3), dtype=np.float32)
        frames = torch.from_numpy(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1))[None]
        for box in BOXES:
            for count in (1, 8):
                boxes = [_box(index, width, height, box) for index in range(count)]
                ours, theirs = in_turn([_visage(frames, boxes), _impact(frames, boxes)], arguments.rounds)
                label = f"{name}, {count} face{'s' if count > 1 else ''} of {box[0]}x{box[1]}"
                each = (theirs / count * 1e3, ours / count * 1e3)
                print(f"{label:34}{each[0]:11.0f} ms{each[1]:9.1f} ms{theirs / ours:8.1f}x")
                figures[label] = {"impact": theirs, "visage": ours, "ratio": theirs / ours}
    write_json(arguments.json, figures)


def _box(index: int, width: int, height: int, box: tuple[int, int]) -> tuple[int, int, int, int]:
    """One of eight boxes in two rows of four."""
    x, y = round(width * (index % 4 + 0.5) / 4), round(height * (index // 4 + 0.5) / 2)
    return x - box[0] // 2, y - box[1] // 2, x + box[0] // 2, y + box[1] // 2


def _visage(frames: Tensor, boxes: list[tuple[int, int, int, int]]) -> Callable[[], object]:
    _, height, width, _ = frames.shape
    found = tuple(
        Face((float(a), float(b), float(c), float(d)), index=index) for index, (a, b, c, d) in enumerate(boxes)
    )
    faces, host, settings = Faces(width, height, (found,)), TorchHost("cpu", quiet=True), RefineSettings()

    @torch.inference_mode()
    def run() -> object:
        return refine(frames, faces, PassThrough(), host, settings)

    return run


def _impact(frames: Tensor, boxes: list[tuple[int, int, int, int]]) -> Callable[[], object]:
    _, height, width, _ = frames.shape
    guide, most, factor, feather, noise_feather, dilation = 512, 1024, 3.0, 5, 20, 10

    def run() -> object:
        segments = []
        for left, top, right, bottom in boxes:
            mask = np.zeros((height, width), np.uint8)
            cv2.rectangle(mask, (left, top), (right, bottom), 255, -1)
            flat = (mask > 0).astype(np.float32)
            grown = cv2.dilate(cv2.UMat(flat), cv2.UMat(np.ones((dilation, dilation), np.uint8)), 1).get()
            x1, x2 = _region(left, right, width, factor)
            y1, y2 = _region(top, bottom, height, factor)
            segments.append(((x1, y1, x2, y2), (left, top, right, bottom), grown[y1:y2, x1:x2]))
        image = frames.clone()
        for (x1, y1, x2, y2), (left, top, right, bottom), segment in segments:
            crop = torch.from_numpy(image.cpu().numpy()[:, y1:y2, x1:x2, :])
            paste_mask = _blurred(torch.from_numpy(segment), feather)
            kept = crop.clone()
            _blurred(torch.from_numpy(segment), noise_feather)
            wide, high = x2 - x1, y2 - y1
            scale = guide / min(right - left, bottom - top)
            if max(int(wide * scale), int(high * scale)) > most:
                scale *= most / max(int(wide * scale), int(high * scale))
            size = (int(wide * scale), int(high * scale)) if scale > 1 else (wide, high)
            painted = _lanczos(_lanczos(kept, size), (wide, high))
            original = image[:, y1:y2, x1:x2]
            image[:, y1:y2, x1:x2] = (1 - paste_mask) * original + paste_mask * painted
            # Its third output: the refined crops with their masks as alpha.
            torch.cat((painted, paste_mask), dim=-1)
        return image

    return run


def _region(start: int, end: int, limit: int, factor: float) -> tuple[int, int]:
    """Where a crop begins and ends along one axis."""
    size = (end - start) * factor
    first = min(max(int((start + end - size) / 2), 0), max(int(limit - size), 0))
    return first, min(int(first + size), limit)


def _lanczos(image: Tensor, size: tuple[int, int]) -> Tensor:
    pixels = np.clip(255.0 * image.numpy().squeeze(0), 0, 255).astype(np.uint8)
    resized = Image.fromarray(pixels).resize(size, resample=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized).astype(np.float32) / 255.0)[None]


def _blurred(mask: Tensor, size: int) -> Tensor:
    """``[1, h, w, 1]``"""
    return GaussianBlur(kernel_size=2 * size + 1, sigma=10.0)(mask[None, None])[0, 0][None, ..., None]


if __name__ == "__main__":
    main()
