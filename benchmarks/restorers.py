"""Networks: time and memory per picture, alone and in batches, in either layout of memory, beside the plain loop.

python benchmarks/restorers.py --device cuda
python benchmarks/restorers.py --device cuda --layout loaded first last --only gfpgan codeformer
python benchmarks/restorers.py --batches 1 --only gfpgan

The plain loop is what the authors' scripts do: one face after the other in fp32, through the authors' network as
spandrel or facexlib has it, or, where neither does, through ours. Weights are random and of the official layout, but
for those that come with Visage. Ratios are above 1 where ours is faster. Of the detector it is the whole detection that
is measured, in a frame of 640 pixels.

The ceiling is what the device reaches in one large matrix product of the same type; a network's share of it is its
floating-point operations per second over that. In fp32 the product is in TF32 where PyTorch lets convolutions be: they
are nearly all of the work. Operations are counted in the network's own convolutions and products, so work that is saved
is not counted as done. Both are taken by the clock: where the machine does other things as well the share means little
and may even exceed 1.

Layouts: "loaded" is how Visage runs it, "first" and "last" have the channels of all weights and of the input there.
What a layout, or TF32, changes is told in levels of 255, of one picture, beside channels first and beside full fp32.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from networks import NAMES, Measured, measured
from timing import Job, in_turn, options, seconds, usable_device, write_json
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from visage.models.host import TorchHost, is_out_of_memory
from visage.models.inference import DTYPES, Precision

Layout = Literal["loaded", "first", "last"]

_FORMATS = {"first": torch.contiguous_format, "last": torch.channels_last}


@dataclass(frozen=True)
class Moved:
    """Between two results, in levels of 255: the 99.9th percentile and the greatest difference."""

    p999: float
    most: float

    def __str__(self) -> str:
        return f"{self.p999:.3f} levels (p99.9), {self.most:.3f} (max)"


@dataclass(frozen=True)
class Row:
    """One network at one batch size, precision and layout.

    Attributes:
        tf32: convolutions run in TF32.
        ratio: seconds per picture of the plain loop over ours, measured in turn.
        share: of the device's ceiling, 0..1.
        milliseconds: per picture.
        plain: milliseconds per picture of the plain loop.
        peak: MiB of device memory in one call beyond the weights; ``None`` off CUDA.
        moved: by the layout.
    """

    network: str
    precision: Precision
    tf32: bool
    layout: Layout
    batch: int
    ratio: float
    share: float
    milliseconds: float
    plain: float
    peak: float | None
    moved: Moved | None


def in_tf32(device: torch.device, precision: Precision) -> bool:
    """Whether convolutions run in TF32: by default they do where the device can, of NVIDIA's since Ampere."""
    if device.type != "cuda" or torch.version.hip or precision != "fp32" or not torch.backends.cudnn.allow_tf32:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def _allowed(backend: object, allowed: bool) -> Iterator[None]:
    """Lets a backend of PyTorch compute in TF32, or not."""
    before = backend.allow_tf32
    backend.allow_tf32 = allowed
    try:
        yield
    finally:
        backend.allow_tf32 = before


def ceiling(device: torch.device, precision: Precision) -> float:
    """Floating-point operations per second of a large matrix product, in TF32 where convolutions are."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))
    with _allowed(torch.backends.cuda.matmul, in_tf32(device, precision)):
        best = min(seconds(lambda: left @ right, device) for _ in range(8))
    return 2 * side**3 / best


def deformable(
    images: Sequence[int], weight: Sequence[int], *others: object, out_shape: Sequence[int], **named: object
) -> int:
    """Operations of a modulated deformable convolution, from shapes.

    Equation 1 of Zhu et al., "Deformable ConvNets v2", 2019: for every place and channel of the output a sum over the
    taps of the kernel and the channels of the input, as in a convolution; torchvision computes it as one product of
    matrices. Finding the samples by interpolation is not counted: PyTorch counts none either.
    """
    return 2 * math.prod(weight) * out_shape[0] * math.prod(out_shape[2:])


def operations(network: Measured) -> int:
    """Of one picture, in fp32."""
    import torchvision  # noqa: F401 - registers its operations

    formulas = {torch.ops.torchvision.deform_conv2d: deformable}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        network.run(network.module, network.picture, torch.float32)
    return int(counter.get_total_flops())


def in_layout(tensor: Tensor, layout: Layout) -> Tensor:
    return tensor if layout == "loaded" or tensor.ndim != 4 else tensor.contiguous(memory_format=_FORMATS[layout])


def module_as(network: Measured, dtype: torch.dtype, layout: Layout) -> nn.Module:
    if dtype == torch.float32 and layout == "loaded":
        return network.module
    # The plain loop may run through the same module.
    module = copy.deepcopy(network.module).to(dtype)
    for held in (*module.parameters(), *module.buffers()):
        held.data = in_layout(held.data, layout)
    return module


def result(network: Measured, dtype: torch.dtype, layout: Layout) -> object:
    """Of one picture."""
    return network.run(module_as(network, dtype, layout), in_layout(network.picture, layout), dtype)


def moved(one: object, other: object) -> Moved | None:
    """``None`` where results are no pictures."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return None
    levels = ((one - other).abs() * 255).flatten()
    return Moved(float(levels.kthvalue(math.ceil(levels.numel() * 0.999)).values), float(levels.max()))


def peak(job: Job, device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    job()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def lack(needs: int, free: int) -> str:
    return f"it takes {needs / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"


def rows_of(
    network: Measured,
    batches: Sequence[int],
    layouts: Sequence[Layout],
    rounds: int,
    device: torch.device,
    ceilings: dict[Precision, float],
) -> Iterator[Row]:
    """Prints what is left out, and why."""
    free = TorchHost(device).free_bytes()
    if network.needs > free:
        print(f"{network.name:16} is left out: {lack(network.needs, free)}", flush=True)
        return
    work = operations(network)
    if in_tf32(device, "fp32"):
        with _allowed(torch.backends.cudnn, False):
            full = result(network, torch.float32, "loaded")
        found = moved(result(network, torch.float32, "loaded"), full)
        if found is not None:
            print(f"{network.name:16} TF32 moves it by {found}", flush=True)
    if network.fixed and set(layouts) != {"loaded"}:
        print(f"{network.name:16} runs as it is loaded alone: it sees to its layout itself", flush=True)
        layouts = ["loaded"]
    for precision, most in ceilings.items():
        if precision == "bf16" and network.coarse:
            print(f"{network.name:16} bf16 is left out: {network.coarse}", flush=True)
            continue
        dtype = DTYPES[precision]
        compared = len(layouts) > 1 or layouts[0] == "last"
        first = result(network, dtype, "first") if compared and not network.fixed else None
        for layout in layouts:
            module = module_as(network, dtype, layout)
            shift = moved(result(network, dtype, layout), first) if layout != "first" else None
            for batch in batches:
                # A CPU that is given too much does not fail, it ends the process.
                needs = batch * network.needs * dtype.itemsize // 4
                if needs > free:
                    print(
                        f"{network.name:16} {precision} {layout} x{batch:<3} is left out: {lack(needs, free)}",
                        flush=True,
                    )
                    break
                faces = in_layout(torch.cat([network.picture] * batch), layout)

                def ours(module: nn.Module = module, faces: Tensor = faces, dtype: torch.dtype = dtype) -> object:
                    return network.run(module, faces, dtype)

                failure = None
                try:
                    ours_seconds, plain_seconds = in_turn(
                        [ours, lambda: network.plain(network.picture)], rounds, device
                    )
                    most_memory = peak(ours, device)
                # Larger batches would fail as well.
                except (RuntimeError, MemoryError) as error:
                    failure = "does not fit into the memory" if is_out_of_memory(error) else str(error).splitlines()[0]
                if failure is not None:
                    print(f"{network.name:16} {precision} {layout} x{batch:<3} is left out: {failure}", flush=True)
                    break
                per_face = ours_seconds / batch
                yield Row(
                    network=network.name,
                    precision=precision,
                    tf32=in_tf32(device, precision),
                    layout=layout,
                    batch=batch,
                    ratio=plain_seconds / per_face,
                    share=work / per_face / most,
                    milliseconds=1000 * per_face,
                    plain=1000 * plain_seconds,
                    peak=most_memory,
                    moved=shift,
                )


def show(row: Row, device: torch.device) -> None:
    line = f"{row.network:16} {row.precision} {row.layout:6} x{row.batch:<3} {row.ratio:6.2f} times the plain loop, "
    line += f"{row.share:5.1%} of the ceiling"
    # Times of a CPU say more about what else it does than about the network.
    if device.type != "cpu":
        line += f", {row.milliseconds:8.2f} ms each (plain {row.plain:.2f})"
    if row.peak is not None:
        line += f", {row.peak:7.0f} MiB"
    if row.moved is not None:
        line += f", {row.moved} from channels first"
    print(line, flush=True)


def arguments() -> argparse.Namespace:
    parser = options(__doc__ or "", rounds=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 8 32, on a CPU 1 alone")
    parser.add_argument("--layout", nargs="+", choices=get_args(Layout), default=["loaded"], help="default: loaded")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    return parser.parse_args()


def main() -> int:
    given = arguments()
    device = usable_device(given.device)
    batches = given.batches or ([1] if device.type == "cpu" else [1, 8, 32])
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    ceilings = {precision: ceiling(device, precision) for precision in precisions}
    for precision, most in ceilings.items():
        how = " in TF32, as its convolutions are" if in_tf32(device, precision) else ""
        print(f"ceiling {precision}{how}: {most / 1e9:.0f} GFLOP/s")
    rows: list[Row] = []
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows_of(
                measured(name, Path(folder), device), batches, given.layout, given.rounds, device, ceilings
            ):
                rows.append(row)
                show(row, device)
        # After each, so that little is lost where the time is up.
        write_json(given.json, {"device": str(device), "ceilings": ceilings, "rows": [asdict(row) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
