"""An embedder: aligned crops of faces in, vectors out that are alike for one person, in batches that fit the memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment import ARCFACE, Template
from ..host import Host, in_batches
from ..restorers.network import InvalidOutputError, unusable
from .loading import Network

# As for restorers: more at once make no device faster.
_MOST_FACES = {"cpu": 4}
_MOST_FACES_ELSEWHERE = 32


class Embedder:
    """An embedding network in the care of a host.

    Attributes:
        name: the weight file's name without its ending.
        architecture: as its authors call it.
        template: how faces lie in the crops.
        length: of the vectors.
        same_person: cosine from which on two faces are likely those of one person; ``None`` where that is not known.
    """

    template: Template = ARCFACE

    def __init__(self, network: Network, host: Host) -> None:
        self.name = network.name
        self.architecture = network.architecture
        self.length = network.length
        self.same_person = network.same_person
        self._bytes = network.bytes_per_face
        self._host = host
        # Half precision was not measured, and the networks are small.
        self._resident = host.adopt(network.module, torch.float32)

    def embed(self, crops: Tensor) -> Tensor:
        """Vectors of length 1: the cosine of two of them tells how alike the faces are.

        Args:
            crops: ``[N, 3, 112, 112]`` float, RGB, 0..1, aligned to :attr:`template`.

        Returns:
            Float32 ``[N, length]`` on the device of ``crops``.

        Raises:
            ValueError: crops of another shape.
            InvalidOutputError: the network gave NaN or infinite numbers; names the network and the crops.
            MemoryError: a single crop does not fit.
        """
        side = self.template.size
        if crops.ndim != 4 or crops.shape[1:] != (3, side, side):
            raise ValueError(f"{self.name} takes crops of shape [N, 3, {side}, {side}], not {list(crops.shape)}.")

        def run(positions: Sequence[int]) -> Tensor:
            device = self._resident.bring(len(positions) * self._bytes)
            given = crops[positions[0] : positions[-1] + 1].to(device, torch.float32) * 2 - 1
            with torch.no_grad():
                vectors = self._resident.module(given).float()
            bad = tuple(positions[place] for place in unusable(vectors))
            if bad:
                raise InvalidOutputError(self.name, f"crop {', '.join(map(str, bad))} of the batch", bad)
            return F.normalize(vectors, dim=1).to(crops.device)

        done = in_batches(self._host, self.name, range(len(crops)), self._batch(), run)
        return torch.cat([crops.new_empty((0, self.length), dtype=torch.float32), *done])

    def _batch(self) -> int:
        most = _MOST_FACES.get(self._resident.bring(self._bytes).type, _MOST_FACES_ELSEWHERE)
        return max(1, min(most, self._host.free_bytes() // self._bytes))
