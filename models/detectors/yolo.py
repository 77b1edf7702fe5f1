"""Ultralytics' detect, segment and pose networks, run as tensors: no predictor, no numpy, no files."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..host import Host, Resident, layout_on
from ..inference import check_numbers
from .candidates import Candidates, most_likely
from .outlines import outlines_of
from .proposer import RETRY_SHRINKS
from .yolo_files import YoloFile, build_yolo

# Peak of the working memory per pixel of a picture and channel of the first layer. Measured with torch's profiler at
# 640 px: 3.0 to 5.75 bytes over YOLOv8 n, s, m, n-seg, YOLOv9c, YOLO11s, YOLO12n and YOLO26n; twice that for a reserve.
_BYTES_PER_PIXEL_AND_CHANNEL = 12


class YoloProposer:
    """A YOLO network: boxes, five landmarks from a pose network that has five points, outlines from one that segments.

    A pose network with another number of points (17 for a person) is used for its boxes. Ultralytics measures from
    the edge of the picture, Visage from the centre of its first pixel: half a pixel less.
    """

    retry_shrinks = RETRY_SHRINKS

    def __init__(self, name: str, file: YoloFile, host: Host) -> None:
        """Builds the network and hands it to the host.

        Raises:
            WeightsError: as :func:`~.yolo_files.build_yolo`.
        """
        network = build_yolo(name, file)
        self.name = name
        self.labels = file.layout.names
        self.stride = max(32, int(network.stride.max())) if isinstance(network.stride, Tensor) else 32
        self._values = file.layout.landmark_values
        self._segments = file.layout.task == "segment"
        self._end_to_end = bool(getattr(network, "end2end", False))
        self._channels = next(weight.shape[0] for weight in network.parameters() if weight.ndim == 4)
        self.resident: Resident[nn.Module] = host.adopt(network, torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * self._channels * _BYTES_PER_PIXEL_AND_CHANNEL

    @torch.inference_mode()
    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        inputs = pictures.to(device, self.resident.dtype, memory_format=layout_on(device, torch.channels_last))
        output = self.resident.module(inputs)[0]
        rows, prototypes = output if self._segments else (output, None)
        check_numbers(self.name, "a picture", [rows])
        found = []
        for index, table in enumerate((rows if self._end_to_end else rows.mT).float()):
            candidates, extras = self._decoded(table, min_score)
            kept = candidates.surviving(overlap)
            candidates = candidates.select(kept)
            if prototypes is not None:
                masks = torch.einsum("nk,khw->nhw", extras[kept], prototypes[index].float())
                outlines = outlines_of(masks, candidates.boxes, height, width)
                candidates = replace(candidates, outlines=outlines)
            found.append(candidates)
        return found

    def _decoded(self, rows: Tensor, min_score: float) -> tuple[Candidates, Tensor]:
        """One picture: ``[A, 4 + classes + extras]``, or ``[A, 6 + extras]`` from an end-to-end head.

        Returns:
            The likely candidates, and their extras: values of landmarks or coefficients of masks.
        """
        if self._end_to_end:
            boxes, scores, labels, extras = rows[:, :4], rows[:, 4], rows[:, 5].long(), rows[:, 6:]
        else:
            classes = len(self.labels)
            half = rows[:, 2:4] / 2
            boxes = torch.cat((rows[:, :2] - half, rows[:, :2] + half), 1)
            scores, labels = rows[:, 4 : 4 + classes].max(1)
            extras = rows[:, 4 + classes :]
        likely = most_likely(scores, min_score)
        extras = extras[likely]
        landmarks = extras.view(-1, 5, self._values)[..., :2] - 0.5 if self._values else None
        return Candidates(boxes[likely] - 0.5, scores[likely], labels[likely], landmarks), extras
