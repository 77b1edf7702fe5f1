"""A restorer: aligned crops of faces in, better ones out, in batches that fit the memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..host import Host, Progress
from ..inference import AtOnce, Precision, checked_dtype, over_crops
from .network import Network, forward
from .options import DEFAULT_OPTIONS, RestoreOptions
from .tasks import network_input, restored_crops

# Crops for networks that take any picture.
_SIDES = (128, 256, 512)
# Faces at once, by kind of device. More make no GPU faster, and the user waits longer for an interrupt to be noticed;
# a CPU takes as long for several together as for one after the other.
_AT_ONCE = AtOnce(cpu=1, elsewhere=8)


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
        dtype = checked_dtype(network.name, network.architecture.name, network.architecture.bf16, precision)
        self._resident = host.adopt(network.module, dtype)

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

        def run(given: Tensor, chosen: slice) -> tuple[Tensor, Tensor]:
            holes = None if hidden is None else hidden[chosen].to(given.device)
            pictures = network_input(self.task, given, holes)
            output = forward(self._network, self._resident.module, pictures, self._resident.dtype, options)
            return output, restored_crops(self.task, given, output.clamp(0, 1), holes)

        each = self._network.architecture.working_bytes(1, height, width, self._resident.dtype)
        done = over_crops(self._host, self._resident, self.name, crops, _AT_ONCE, each, run, progress)
        return torch.cat(done)

    def _checked_shape(self, crops: Tensor) -> tuple[int, int, int]:
        side = self._network.architecture.side
        if crops.ndim != 4 or crops.shape[1] != 3 or (side is not None and crops.shape[2:] != (side, side)):
            wanted = f"[N, 3, {side}, {side}]" if side else "[N, 3, S, S]"
            raise ValueError(f"{self.name} takes crops of shape {wanted}, not {list(crops.shape)}.")
        return crops.shape[0], crops.shape[2], crops.shape[3]
