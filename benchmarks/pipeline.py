"""Detect and restore one photograph: where the time goes, Visage against facexlib's FaceRestoreHelper.

Both use the same networks: RetinaFace mobilenet0.25 for detection, and realesr-general-x4v3 from a quarter of the
crop's size (it stands for GFPGAN here, because its weights are small). The helper's other parts are its own: detection
at full size, alignment, paste. Peak memory is that of the whole process after either side's run, each in a process of
its own. The pictures lie on the CPU, as ComfyUI's do; the networks, and what is done beside them, run on --device,
which has done all its work wherever the clock is read. The first round, in which a device gets ready, does not count.

    python benchmarks/pipeline.py [WEIGHTS_DIR PHOTOGRAPH] [--device cuda] [--json FILE]

Without arguments the development data are taken: see docs/data.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from timing import options, synchronise, usable_device, write_json
from visage.faces.crops import extract, plan_crops
from visage.faces.face import Faces
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.host import TorchHost
from visage.models.restorers.loading import load_network
from visage.pipeline import BlendSettings, paste_crops
from visage.training.data import data_folder

STAGES = ("detect", "align", "network", "paste")
DETECTOR, RESTORER = "detection_mobilenet0.25_Final.pth", "realesr-general-x4v3.pth"


def main() -> None:
    data = data_folder()
    parser = options(__doc__ or "", rounds=2)
    parser.add_argument(
        "weights", type=Path, nargs="?", default=data / "weights", help=f"folder with {DETECTOR} and {RESTORER}"
    )
    parser.add_argument("photograph", type=Path, nargs="?", default=data / "photos" / "dlib_faces" / "bald_guys.jpg")
    parser.add_argument("--only", choices=("visage", "facexlib"), help="one side, for the memory")
    parser.add_argument("--device", default="cpu", help="of the networks (default cpu)")
    arguments = parser.parse_args()
    device = usable_device(arguments.device)
    picture = cv2.imread(str(arguments.photograph))
    network = load_network(arguments.weights / RESTORER).module.eval().to(device)
    sides = {
        "visage": lambda: _visage(arguments.weights, picture, network, device),
        "facexlib": lambda: _facexlib(arguments.weights, picture, network, device),
    }
    if arguments.only:
        with torch.inference_mode():
            count, seconds = sides[arguments.only]()()
        print(json.dumps({"faces": count, "seconds": seconds, "peak MiB": _peak()}))
        return
    figures: dict[str, dict[str, object]] = {}
    with torch.inference_mode():
        runs = {name: make() for name, make in sides.items()}
        best: dict[str, dict[str, float]] = {}
        for index in range(arguments.rounds + 1):
            for name, run in runs.items():
                count, seconds = run()
                if index == 0:
                    figures[name] = {"faces": count}
                    best[name] = dict.fromkeys(STAGES, float("inf"))
                else:
                    best[name] = {stage: min(best[name][stage], seconds[stage]) for stage in STAGES}
    for name in sides:
        command = [sys.executable, __file__, str(arguments.weights), str(arguments.photograph)]
        command += ["--only", name, "--device", arguments.device]
        alone = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])  # noqa: S603
        figures[name] |= {"seconds": best[name], "peak MiB": alone["peak MiB"]}
    height, width = picture.shape[:2]
    print(
        f"{width} x {height}, {device}, {torch.get_num_threads()} threads, best of {arguments.rounds} rounds, seconds"
    )
    print(f"{'':10}{'faces':>7}" + "".join(f"{stage:>10}" for stage in STAGES) + f"{'all':>10}{'peak MiB':>11}")
    for name in ("facexlib", "visage"):
        values = [best[name][stage] for stage in STAGES]
        row = "".join(f"{value:10.3f}" for value in [*values, sum(values)])
        print(f"{name:10}{figures[name]['faces']:7}{row}{figures[name]['peak MiB']:11.0f}")
    ratios = [best["facexlib"][stage] / best["visage"][stage] for stage in STAGES]
    every = sum(best["facexlib"].values()) / sum(best["visage"].values())
    print(f"{'ratio':17}" + "".join(f"{ratio:9.1f}x" for ratio in [*ratios, every]))
    write_json(arguments.json, figures)


def _peak() -> float:
    """Most memory that this process held at once, in MiB. (``getrusage`` would tell its parent's too.)"""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


Run = Callable[[], tuple[int, dict[str, float]]]


def _enhanced(network: torch.nn.Module, crops: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``[N, 3, 512, 512]`` on the CPU to the same, one by one on the device: what the x4 upscaler makes of them at a
    quarter of the size."""
    made = [network(torch.nn.functional.avg_pool2d(crop[None].to(device), 4)).clamp(0, 1).cpu() for crop in crops]
    return torch.cat(made)


def _visage(weights: Path, picture: np.ndarray, network: torch.nn.Module, device: torch.device) -> Run:
    detector = load_detector(weights / DETECTOR, TorchHost(device, quiet=True))
    height, width = picture.shape[:2]

    def run() -> tuple[int, dict[str, float]]:
        clock = _Clock(device)
        frames = torch.from_numpy(picture[..., ::-1].astype(np.float32) / 255)[None]
        faces = Faces(width, height, tuple(map(tuple, detector.detect(frames, DetectionSettings()))))
        clock.stop("detect")
        crops = plan_crops(faces.placed, 512, width, height, 1)
        pixels = extract(frames, crops)
        clock.stop("align")
        restored = _enhanced(network, pixels.movedim(-1, 1), device).movedim(1, -1)
        clock.stop("network")
        # Colours are left alone, as facexlib leaves them.
        result, _ = paste_crops(frames, crops, restored, BlendSettings(colour=0.0))
        (result[0] * 255).round().byte().numpy()
        clock.stop("paste")
        return faces.count, clock.seconds

    return run


def _facexlib(weights: Path, picture: np.ndarray, network: torch.nn.Module, device: torch.device) -> Run:
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper
    from visage.faces.alignment import FFHQ

    helper = FaceRestoreHelper.__new__(FaceRestoreHelper)  # Its constructor downloads two networks.
    helper.upscale_factor, helper.face_size, helper.crop_ratio = 1, (512, 512), (1, 1)
    helper.face_template = np.array(FFHQ.points)
    helper.template_3points = helper.use_parse = helper.pad_blur = False
    helper.device = device
    helper.face_det = RetinaFace("mobile0.25", device=helper.device)
    tensors = torch.load(weights / DETECTOR, map_location="cpu", weights_only=True)
    helper.face_det.load_state_dict({name.removeprefix("module."): value for name, value in tensors.items()})
    helper.face_det.eval().to(device)

    def run() -> tuple[int, dict[str, float]]:
        clock = _Clock(device)
        helper.clean_all()
        helper.read_image(picture)
        count = helper.get_face_landmarks_5(eye_dist_threshold=5)
        clock.stop("detect")
        helper.align_warp_face()
        clock.stop("align")
        for crop in helper.cropped_faces:
            given = torch.from_numpy(crop[..., ::-1].astype(np.float32) / 255).permute(2, 0, 1)[None]
            made = _enhanced(network, given, device)[0].permute(1, 2, 0).numpy()[..., ::-1]
            helper.add_restored_face((made * 255).round().astype(np.uint8))
        clock.stop("network")
        helper.get_inverse_affine()
        helper.paste_faces_to_input_image()
        clock.stop("paste")
        return count, clock.seconds

    return run


class _Clock:
    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        synchronise(device)
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        synchronise(self._device)
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


if __name__ == "__main__":
    main()
