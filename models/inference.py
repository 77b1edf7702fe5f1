"""What all networks share when they are run: precision, batches that fit the memory, checks for NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .host import Host, Progress, Resident, in_batches, layout_on
from .weights import WeightsError

Precision = Literal["fp32", "bf16"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class InvalidOutputError(Exception):
    """A network gave numbers that are no picture.

    Attributes:
        positions: which crops of a batch it was, counted from 0.
    """

    def __init__(self, network: str, subject: str, positions: tuple[int, ...] = ()) -> None:
        self.positions = positions
        super().__init__(
            f"{network} gave invalid numbers (NaN or infinite) for {subject}. Check that its file is intact "
            "(`visage models verify`), and use precision fp32."
        )


def checked_dtype(network: str, architecture: str, bf16: bool, precision: Precision) -> torch.dtype:
    """The dtype for the weights of a network.

    Args:
        network, architecture: their names, for the message.
        bf16: whether bfloat16 was measured to be close enough to fp32 in that architecture.

    Raises:
        WeightsError: the network is not known to be accurate in that precision.
    """
    if precision == "bf16" and not bf16:
        raise WeightsError(f"{network} ({architecture}) is not accurate enough in bf16. Use precision fp32.")
    return DTYPES[precision]


@contextmanager
def naming(host: Host, network: str) -> Iterator[None]:
    """Around a call of a network: a ``RuntimeError`` in it, which tells of no file, comes out with the network's name.

    Those for lack of memory come out as they are: smaller batches may do.
    """
    try:
        yield
    except RuntimeError as error:
        if host.is_out_of_memory(error):
            raise
        raise RuntimeError(f"{network} failed: {error}") from error


@dataclass(frozen=True)
class AtOnce:
    """How many crops a network is given together at most: on the CPU, and on other devices."""

    cpu: int
    elsewhere: int


def over_crops(
    host: Host,
    resident: Resident[nn.Module],
    network: str,
    crops: Tensor,
    most: AtOnce,
    bytes_per_crop: int,
    run: Callable[[Tensor, slice], tuple[Tensor, Tensor]],
    progress: Progress | None = None,
) -> list[Tensor]:
    """Runs a network over crops in batches that fit the memory.

    Args:
        network: its name, for messages.
        crops: ``[N, 3, H, W]`` float, on any device.
        bytes_per_crop: working memory of a call.
        run: gets crops of a batch, float32, where the weights are, and which ones they are. Gives what the network
            says of each ``[n, ...]``, which is looked through for numbers that are none, and what is made of it.
        progress: told of every crop that is done.

    Returns:
        What was made of each batch, on the device of ``crops``; nothing where there are no crops.

    Raises:
        InvalidOutputError: the network gave NaN or infinite numbers; names the network and the crops.
        MemoryError: a single crop does not fit.
        RuntimeError: PyTorch failed in it; names the network.
    """

    def run_batch(positions: Sequence[int]) -> Tensor:
        device = resident.bring(len(positions) * bytes_per_crop)
        chosen = slice(positions[0], positions[-1] + 1)
        with naming(host, network):
            given = crops[chosen].to(device, torch.float32, memory_format=layout_on(device))
            told, made = run(given, chosen)
        bad = tuple(positions[place] for place in unusable(told))
        if bad:
            raise InvalidOutputError(network, f"crop {', '.join(map(str, bad))} of the batch", bad)
        if progress is not None:
            progress.advance(len(positions))
        return made.to(crops.device)

    together = most.cpu if resident.bring(bytes_per_crop).type == "cpu" else most.elsewhere
    batch = min(together, host.free_bytes() // bytes_per_crop)
    return list(in_batches(host, network, range(len(crops)), batch, run_batch))


def check_numbers(network: str, subject: str, outputs: Iterable[Tensor]) -> None:
    """For networks of whose numbers those above a limit are taken, which NaN is not: it would pass for nothing found.

    Args:
        network: its name, for the message.
        subject: what it looked at, for the message.

    Raises:
        InvalidOutputError: something in the outputs is NaN or infinite.
    """
    if not bool(torch.stack([output.sum(dtype=torch.float32) for output in outputs]).isfinite().all()):
        raise InvalidOutputError(network, subject)


def unusable(output: Tensor) -> tuple[int, ...]:
    """The positions in a batch ``[N, ...]`` of what holds NaN or infinite numbers."""
    # A sum is finite only if all of it is, and is quicker to ask than every number.
    good = output.sum(tuple(range(1, output.ndim))).isfinite().tolist()
    return tuple(position for position, is_good in enumerate(good) if not is_good)
