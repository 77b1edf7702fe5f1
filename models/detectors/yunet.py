"""YuNet through OpenCV: the smallest detector with landmarks, on the CPU.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023; the file is that of the OpenCV zoo (2023mar).

What the network says is made into faces here, as OpenCV's ``FaceDetectorYN`` does it, which ends the process over
numbers that are none, as a damaged file gives them.
"""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...opencv import opencv
from .. import catalogue
from ..inference import check_numbers
from ..weights import WeightsError
from .candidates import MOST_CANDIDATES, Candidates
from .proposer import RETRY_SHRINKS

# Pixels between the places at which the network looks for faces.
_STEPS = (8, 16, 32)
_NUMBERS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
_OUTPUTS = tuple(f"{what}_{step}" for what in _NUMBERS for step in _STEPS)
# With less OpenCV 4.10 reads memory that nobody has written to, and gives other numbers each time, some of them none.
_LEAST_SIDE = 64
# The picture as numbers and as bytes, and OpenCV's own copies and layers; a generous guess, as OpenCV does not tell.
_BYTES_PER_PIXEL = 120
# Of the outputs for a picture of 96x64.
_SHAPES = [(1, 96 * 64 // step**2, numbers) for numbers in _NUMBERS.values() for step in _STEPS]
# Run in a process of its own, with the file's content on its standard input.
_TRIAL = f"""
import sys, cv2, numpy
try:
    network = cv2.dnn.readNetFromONNX(numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8))
    network.setInput(numpy.zeros((1, 3, 64, 96), numpy.float32))
    outputs = network.forward({_OUTPUTS})
except cv2.error as error:
    sys.exit(error.err)
if [getattr(output, "shape", None) for output in outputs] != {_SHAPES}:
    sys.exit("its outputs have other shapes")
"""


def is_yunet(content: bytes) -> bool:
    """Whether an ONNX file is YuNet, by the names of its outputs."""
    return all(output.encode() in content for output in _OUTPUTS)


class YuNetProposer:
    """YuNet: boxes and five landmarks, one picture after the other."""

    labels = ("face",)
    stride = 1
    retry_shrinks = RETRY_SHRINKS
    resident = None

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            WeightsError: OpenCV cannot read it, or cannot run it.
        """
        import numpy as np

        cv2 = opencv()

        self.name = path.name
        content = path.read_bytes()
        if catalogue.by_sha256(hashlib.sha256(content).hexdigest()) is None:
            _try_apart(path.name, content)
        try:
            self._network: Any = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise _unusable(path.name, error.err) from error

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        levels = (pictures * 255).round().clamp(0, 255).byte().cpu().flip(1)  # BGR
        height, width = (max(_LEAST_SIDE, math.ceil(side / _STEPS[-1]) * _STEPS[-1]) for side in levels.shape[2:])
        whole = F.pad(levels, (0, width - levels.shape[3], 0, height - levels.shape[2]))
        return [self._found(picture, min_score, overlap) for picture in whole]

    def _found(self, picture: Tensor, min_score: float, overlap: float) -> Candidates:
        """One picture ``[3, h, w]`` uint8, BGR, filled up to what the network takes."""
        cv2 = opencv()
        self._network.setInput(picture[None].float().numpy())
        try:
            outputs = [torch.from_numpy(output)[0] for output in self._network.forward(_OUTPUTS)]
        except cv2.error as error:  # neither a RuntimeError nor a MemoryError
            raise (MemoryError if error.code == cv2.Error.StsNoMem else RuntimeError)(error.err) from error
        width = picture.shape[2]
        levels = [_decoded(step, width // step, *outputs[index :: len(_STEPS)]) for index, step in enumerate(_STEPS)]
        scores, boxes, points = (torch.cat(parts) for parts in zip(*levels, strict=True))
        chosen = (scores >= min_score).nonzero()[:, 0]
        check_numbers(self.name, "a picture", (*outputs, boxes[chosen]))
        # Whole pixels from the left and the top of a box.
        kept = cv2.dnn.NMSBoxes(
            boxes[chosen].trunc().tolist(), scores[chosen].tolist(), min_score, overlap, top_k=MOST_CANDIDATES
        )
        chosen = chosen[torch.as_tensor(kept, dtype=torch.int64)]
        corners = torch.cat((boxes[chosen, :2], boxes[chosen, :2] + boxes[chosen, 2:]), 1)
        return Candidates(corners - 0.5, scores[chosen], torch.zeros_like(chosen), points[chosen] - 0.5)


def _decoded(
    step: int, columns: int, face: Tensor, thing: Tensor, box: Tensor, points: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network says at the places of one step.

    Args:
        columns: places in a row.
        face, thing, box, points: ``[N, 1]``, ``[N, 1]``, ``[N, 4]`` and ``[N, 10]``, row by row.

    Returns:
        Scores ``[N]``; boxes ``[N, 4]`` as left, top, width and height; points ``[N, 5, 2]``. In pixels.
    """
    number = torch.arange(len(box))
    place = torch.stack((number % columns, number // columns), 1)
    # In double precision, as torch alone is a last bit away from the roots and powers of the C library here and there.
    score = (face.clamp(0, 1) * thing.clamp(0, 1)).double().sqrt().float()[:, 0]
    size = box[:, 2:].double().exp().float() * step
    corner = (place + box[:, :2]) * step - size / 2
    return score, torch.cat((corner, size), 1), (points.reshape(-1, 5, 2) + place[:, None]) * step


def _try_apart(name: str, content: bytes) -> None:
    """Has a process of its own read a file and run it once: over damaged ones OpenCV may end the process that it is in.

    Raises:
        WeightsError: it cannot, or that process was ended.
    """
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # for the same OpenCV
    trial = subprocess.run(  # noqa: S603 - the command is all ours
        [sys.executable, "-c", _TRIAL], check=False, input=content, capture_output=True, env=surroundings
    )
    if trial.returncode != 0:
        said = trial.stderr.decode(errors="replace").splitlines() if trial.returncode == 1 else []
        raise _unusable(name, said[-1] if said else "it makes OpenCV crash")


def _unusable(name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"{name} is cut short, damaged or no YuNet that this OpenCV reads ({reason}). Delete it and download it again."
    )
