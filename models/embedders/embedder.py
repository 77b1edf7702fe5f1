"""An embedder: aligned crops of faces in, vectors out that are alike for one person, in batches that fit the memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment import ARCFACE, Template
from ..host import Host
from ..inference import AtOnce, over_crops
from .loading import Network

# As for restorers: more at once make no device faster.
_AT_ONCE = AtOnce(cpu=4, elsewhere=32)


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

        def run(given: Tensor, _: slice) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                vectors = self._resident.module(given * 2 - 1).float()
            return vectors, F.normalize(vectors, dim=1)

        done = over_crops(self._host, self._resident, self.name, crops, _AT_ONCE, self._bytes, run)
        return torch.cat([crops.new_empty((0, self.length), dtype=torch.float32), *done])
