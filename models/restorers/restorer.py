"""A restorer: aligned crops of faces in, better ones out, in batches that fit the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..host import Host, Progress, in_batches
from ..weights import WeightsError
from .network import DTYPES, InvalidOutputError, Network, Precision, forward, unusable
from .options import DEFAULT_OPTIONS, RestoreOptions
from .tasks import kept, shown

# Crops for networks that take any picture.
_SIDES = (128, 256, 512)
# Faces at once, by kind of device. More make no GPU faster, and the user waits longer for an interrupt to be noticed;
# a CPU takes as long for several together as for one after the other.
_MOST_FACES = {"cpu": 1}
_MOST_FACES_ELSEWHERE = 8


class Restorer:
    """A restoration network in the care of a host.

    Attributes:
        name: the weight file's name without its ending.
        architecture: as its authors call it.
        task: whether it restores faces, fills hidden parts of them or colours grey ones.
        acts_on_fidelity: whether ``fidelity`` changes the result.
        scale: sides of the restored crop over sides of the crop.
        template: how the faces lay that the network was trained on.
    """

    def __init__(self, network: Network, host: Host, precision: Precision = "fp32") -> None:
        """Raises ``WeightsError`` where the precision is too coarse for the architecture."""
        self.name = network.name
        self.architecture = network.architecture.name
        self.task = network.architecture.task
        self.acts_on_fidelity = network.architecture.acts_on_fidelity
        self.scale = network.scale
        self.template = network.architecture.template
        self._network = network
        self._host = host
        self._resident = host.adopt(network.module, checked_dtype(network, precision))

    def crop_size(self, native: float) -> int:
        """Side in pixels of the aligned crop for a face whose crop square covers ``native`` pixels of the frame.

        Networks of faces have one size. Others get the size nearest in ratio to ``native`` among 128, 256 and 512
        whose restored crop is not smaller than the face. Compared on photographs with realesr-general-x4v3: from a
        crop of half the native size or less it paints features of its own, from one of twice the size or more
        compression and noise come through and edges stay soft.
        """
        side = self._network.architecture.side
        if side is not None:
            return side
        enough = [side for side in _SIDES if side * self.scale >= native] or [_SIDES[-1]]
        return min(enough, key=lambda side: abs(math.log(side / max(native, 1.0))))

    def restore(
        self,
        crops: Tensor,
        options: RestoreOptions = DEFAULT_OPTIONS,
        progress: Progress | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Restores aligned crops. The same crops give the same bits, and no crop acts on another.

        Args:
            crops: ``[N, 3, S, S]`` float, RGB, 0..1, with ``S`` from :meth:`crop_size`.
            options: of which the network takes what acts in it.
            progress: told of every crop that is done.
            hidden: ``[N, S, S]`` bool: what a network that fills is to fill. The rest of the crop stays as it is.

        Returns:
            Float32 ``[N, 3, S * scale, S * scale]`` in 0..1 on the device of ``crops``.

        Raises:
            ValueError: crops of another shape, or a network that fills and nothing to be filled.
            InvalidOutputError: the network gave NaN or infinite numbers; names the network and the crops.
            MemoryError: a single crop does not fit.
        """
        count, height, width = self._checked_shape(crops)
        if self.task == "fill" and hidden is None:
            raise ValueError(f"{self.name} fills hidden parts of faces. Give it a mask of what is hidden.")
        if count == 0:
            return crops.new_empty((0, 3, height * self.scale, width * self.scale), dtype=torch.float32)

        def run(positions: Sequence[int]) -> Tensor:
            device = self._resident.bring(self._bytes(len(positions), height, width))
            chosen = slice(positions[0], positions[-1] + 1)
            given = crops[chosen].to(device, torch.float32)
            holes = None if hidden is None else hidden[chosen].to(device)
            output = forward(
                self._network, self._resident.module, shown(self.task, given, holes), self._resident.dtype, options
            )
            bad = tuple(positions[position] for position in unusable(output))
            if bad:
                raise InvalidOutputError(self.name, f"crop {', '.join(map(str, bad))} of the batch", bad)
            if progress is not None:
                progress.advance(len(positions))
            return kept(self.task, given, output.clamp(0, 1), holes).to(crops.device)

        return torch.cat(list(in_batches(self._host, self.name, range(count), self._batch(height, width), run)))

    def _checked_shape(self, crops: Tensor) -> tuple[int, int, int]:
        side = self._network.architecture.side
        if crops.ndim != 4 or crops.shape[1] != 3 or (side is not None and crops.shape[2:] != (side, side)):
            wanted = f"[N, 3, {side}, {side}]" if side else "[N, 3, S, S]"
            raise ValueError(f"{self.name} takes crops of shape {wanted}, not {list(crops.shape)}.")
        return crops.shape[0], crops.shape[2], crops.shape[3]

    def _bytes(self, batch: int, height: int, width: int) -> int:
        return self._network.architecture.working_bytes(batch, height, width, self._resident.dtype)

    def _batch(self, height: int, width: int) -> int:
        one = self._bytes(1, height, width)
        most = _MOST_FACES.get(self._resident.bring(one).type, _MOST_FACES_ELSEWHERE)
        return max(1, min(most, self._host.free_bytes() // one))


def checked_dtype(network: Network, precision: Precision) -> torch.dtype:
    """The type for the weights of a network.

    Raises:
        WeightsError: the architecture is not known to be accurate in that precision.
    """
    if precision == "bf16" and not network.architecture.bf16:
        raise WeightsError(
            f"{network.name} ({network.architecture.name}) is not accurate enough in bf16. Use precision fp32."
        )
    return DTYPES[precision]
