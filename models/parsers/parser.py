"""A parser: aligned crops of faces in, maps of their regions out, in batches that fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.regions import REGIONS, Region, region_mask
from ..host import Host, Progress
from ..inference import AtOnce, Precision, checked_dtype, over_crops
from .loading import Network

# As for restorers: more at once make no device faster.
_AT_ONCE = AtOnce(cpu=1, elsewhere=8)


class Parser:
    """A parsing network in the care of a host.

    Attributes:
        name: the weight file's name without its ending.
        architecture: as its authors call it.
        side: side of the maps in pixels, whatever the side of the crops.
    """

    side = 512

    def __init__(self, network: Network, host: Host, precision: Precision = "fp32") -> None:
        """Raises ``WeightsError`` where the precision is too coarse for the architecture."""
        self.name = network.name
        self.architecture = network.architecture.name
        self._network = network
        self._host = host
        dtype = checked_dtype(network.name, network.architecture.name, network.architecture.bf16, precision)
        self._resident = host.adopt(network.module, dtype)

    def parse(self, crops: Tensor, progress: Progress | None = None) -> Tensor:
        """The regions of faces. The same crops give the same bits, and no crop acts on another.

        Args:
            crops: ``[N, 3, S, S]`` float, RGB, 0..1, aligned to the FFHQ template, of any side ``S``.
            progress: told of every crop that is done.

        Returns:
            Float32 ``[N, R, 512, 512]``, the probability of each region of
            :data:`~visage.faces.regions.REGIONS` at each pixel, on the device of ``crops``. The maps show all of the
            crop: what is at ``x`` in the crop is at ``(x + 0.5) * 512 / S - 0.5``.

        Raises:
            ValueError: crops of another shape.
            InvalidOutputError: the network gave NaN or infinite numbers; names the network and the crops.
            MemoryError: a single crop does not fit.
        """
        return self._parsed(crops, progress, lambda maps: maps)

    def mask(
        self,
        crops: Tensor,
        regions: Sequence[Region],
        grow: float = 0.0,
        feather: float = 0.0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Float32 ``[N, 512, 512]`` 0..1 on the device of ``crops``: the part of faces that belongs to some regions.

        It is :func:`~visage.faces.regions.region_mask` of the maps, made where the network computes, so that one map
        has to be brought back instead of nineteen.

        Raises:
            ValueError, InvalidOutputError, MemoryError: as :meth:`parse`.
        """
        return self._parsed(crops, progress, lambda maps: region_mask(maps, regions, grow, feather))

    def _parsed(self, crops: Tensor, progress: Progress | None, made_of: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``made_of`` makes of the maps, batch by batch."""
        if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
            raise ValueError(f"{self.name} takes crops of shape [N, 3, S, S], not {list(crops.shape)}.")
        if len(crops) == 0:
            return made_of(crops.new_empty((0, len(REGIONS), self.side, self.side), dtype=torch.float32))

        def run(given: Tensor, _: slice) -> tuple[Tensor, Tensor]:
            logits = self._logits(given)
            return logits, made_of(logits.softmax(1))

        each = self.side**2 * self._network.architecture.bytes_per_pixel * self._resident.dtype.itemsize // 4
        parts = over_crops(self._host, self._resident, self.name, crops, _AT_ONCE, each, run, progress)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _logits(self, crops: Tensor) -> Tensor:
        """``[N, R, 512, 512]`` in the order of ``REGIONS``, from crops where the weights are."""
        if crops.shape[-1] != self.side:
            shrinks = crops.shape[-1] > self.side
            crops = F.interpolate(crops, (self.side, self.side), mode="bilinear", antialias=shrinks)
        kind = self._network.architecture
        mean, spread = crops.new_tensor(kind.mean), crops.new_tensor(kind.spread)
        given = ((crops - mean[:, None, None]) / spread[:, None, None]).to(self._resident.dtype)
        with torch.no_grad():
            return kind.call(self._resident.module, given)[:, kind.channels].float()
