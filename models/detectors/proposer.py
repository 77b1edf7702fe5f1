"""What a detection network must offer: one run over pictures of one size."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ..host import Resident
from .candidates import Candidates

PADDING = 114 / 255
"""The grey that ultralytics trains its letterbox with; pictures are brought to whole strides by it."""

RETRY_SHRINKS = (2, 4)
"""For networks that see a picture at one size only."""


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights laid out so that convolutions run 15 % faster on the CPU; the values are the same.

    Pictures are to be given in the same layout. It is for CPUs alone: see :func:`~..host.ready`.
    """
    # The stubs of torch know only the layout of tensors here.
    converted: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return converted


class Proposer(Protocol):
    """One detection network. :class:`~.detector.Detector` adds sizes, tiles and angles around it."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the label numbers in :class:`Candidates`."""
        ...

    @property
    def stride(self) -> int:
        """Height and width of the pictures must be multiples of this."""
        ...

    @property
    def retry_shrinks(self) -> tuple[int, ...]:
        """Where nothing was found in a frame, it is tried again shrunk by each of these; empty where that is no use."""
        ...

    @property
    def resident(self) -> Resident[nn.Module] | None:
        """The network as the host keeps it; ``None`` for one that runs outside torch."""
        ...

    def working_bytes(self, height: int, width: int) -> int:
        """Memory that one picture of this size takes while the network runs."""
        ...

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        """Runs the network once.

        Args:
            pictures: ``[N, 3, h, w]`` float32, RGB, 0..1, on any device.
            min_score: candidates below this score are left out.
            overlap: intersection over union above which the worse of two candidates is left out.

        Returns:
            One table per picture, best candidate first, coordinates with pixel centres at integers.

        Raises:
            InvalidOutputError: the network gave NaN or infinite numbers.
            MemoryError, RuntimeError: it failed.
        """
        ...
