"""YuNet through OpenCV: the smallest detector with landmarks, on the CPU.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023; the file is that of the OpenCV zoo (2023mar).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...opencv import opencv
from ..weights import WeightsError
from .candidates import MOST_CANDIDATES, Candidates
from .proposer import RETRY_SHRINKS

# Names of the outputs that OpenCV looks for, at the finest and the coarsest of the three steps.
_OUTPUTS = (b"cls_8", b"obj_8", b"bbox_8", b"kps_8", b"cls_32", b"obj_32", b"bbox_32", b"kps_32")
# The picture as numbers and as bytes, and OpenCV's own copies and layers; a generous guess, as OpenCV does not tell.
_BYTES_PER_PIXEL = 120
# OpenCV's number of the level at which it says errors alone; not all versions name it.
_ERRORS = 2


def is_yunet(content: bytes) -> bool:
    """Whether an ONNX file is YuNet, by the names of its outputs."""
    return all(output in content for output in _OUTPUTS)


class YuNetProposer:
    """YuNet: boxes and five landmarks, one picture after the other."""

    labels = ("face",)
    stride = 1
    retry_shrinks = RETRY_SHRINKS
    resident = None

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            WeightsError: OpenCV cannot read it.
        """
        import numpy as np

        cv2 = opencv()

        self.name = path.name
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        # OpenCV 5 warns on the terminal that its new engine takes no target, which is of no use to anybody.
        logging = getattr(cv2.utils, "logging", cv2)  # which has these itself up to OpenCV 4.12
        level = logging.getLogLevel()
        logging.setLogLevel(_ERRORS)
        try:
            self._network: Any = cv2.FaceDetectorYN.create("onnx", content, np.empty(0, np.uint8), (32, 32))
        except cv2.error as error:
            raise WeightsError(
                f"{path.name} is cut short or no YuNet that this OpenCV reads ({error.err}). "
                "Delete it and download it again."
            ) from error
        finally:
            logging.setLogLevel(level)
        self._network.setTopK(MOST_CANDIDATES)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        height, width = pictures.shape[-2:]
        self._network.setInputSize((width, height))
        self._network.setScoreThreshold(min_score)
        self._network.setNMSThreshold(overlap)
        levels = (pictures * 255).round().clamp(0, 255).byte().cpu()
        return [self._found(picture) for picture in levels.flip(1).permute(0, 2, 3, 1).contiguous()]

    def _found(self, picture: Tensor) -> Candidates:
        """One picture, ``[h, w, 3]`` uint8 BGR."""
        _, rows = self._network.detect(picture.numpy())
        # Left, top, width, height; five points; score.
        table = torch.empty(0, 15) if rows is None else torch.from_numpy(rows)
        table = table[table[:, 14].argsort(descending=True, stable=True)]
        boxes = torch.cat((table[:, :2], table[:, :2] + table[:, 2:4]), 1)
        labels = torch.zeros(len(table), dtype=torch.int64)
        return Candidates(boxes - 0.5, table[:, 14], labels, table[:, 4:14].view(-1, 5, 2) - 0.5)
