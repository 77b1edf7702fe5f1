"""Restoration networks: time and memory per face, alone and in batches, beside the plain loop.

python benchmarks/restorers.py --device cuda
python benchmarks/restorers.py --batches 1 --only gfpgan

The plain loop is what the authors' scripts do: one face after the other in fp32, through the authors' network as
spandrel has it, or, where spandrel has none, through ours. Weights are random and of the official layout. Ratios are
above 1 where ours is faster.

The ceiling is what the device reaches in one large matrix product of the same type; a network's share of it is its
floating-point operations per second over that. Operations are counted in the network's own convolutions and products,
so work that is saved is not counted as done. Both are taken by the clock: where the machine does other things as well
the share means little and may even exceed 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from timing import options, write_json
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from visage.models.inference import DTYPES, Precision
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network, forward
from visage.models.weights import read_weights
from visage.tests.parity.fingerprints import NAMES, read_fingerprint, write_checkpoint

Job = Callable[[], object]

# What the authors' scripts tell their networks, by spandrel's names.
_TOLD = {"GFPGAN": {"return_rgb": False}, "CodeFormer": {"weight": 0.5}}


@dataclass(frozen=True)
class Row:
    """One network at one batch size and precision.

    Attributes:
        ratio: seconds per face of the plain loop over ours, measured in turn.
        share: of the device's ceiling, 0..1.
        milliseconds: per face.
        plain: milliseconds per face of the plain loop.
        peak: MiB of device memory in one call beyond the weights; ``None`` off CUDA.
    """

    network: str
    precision: Precision
    batch: int
    ratio: float
    share: float
    milliseconds: float
    plain: float
    peak: float | None


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds(job: Job, device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    job()
    synchronise(device)
    return time.perf_counter() - start


def in_turn(jobs: Sequence[Job], rounds: int, device: torch.device) -> list[float]:
    """Median seconds of each, one after the other in every round, after one that does not count."""
    taken = [[seconds(job, device) for job in jobs] for _ in range(rounds + 1)][1:]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = min(seconds(lambda: left @ right, device) for _ in range(8))
    return 2 * side**3 / best


def operations(network: Network, image: Tensor) -> int:
    """Of one face, in fp32."""
    with FlopCounterMode(display=False) as counter:
        forward(network, network.module, image, torch.float32)
    return int(counter.get_total_flops())


def plain_network(path: Path, network: Network) -> Callable[[Tensor], Tensor]:
    """The authors' network where spandrel has it, called as their scripts call it; else ours."""
    import spandrel_extra_arches
    from spandrel import MAIN_REGISTRY, UnsupportedModelError

    registry = MAIN_REGISTRY.copy()
    registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    try:
        descriptor = registry.load(read_weights(path).tensors)
    except (UnsupportedModelError, RuntimeError):
        return lambda image: forward(network, network.module, image, torch.float32)
    module = descriptor.model.eval().to(next(network.module.parameters()).device)
    told = _TOLD.get(descriptor.architecture.id, {})

    @torch.no_grad()
    def run(image: Tensor) -> Tensor:
        return module(image * 2 - 1, **told)[0] / 2 + 0.5

    return run


def peak(job: Job, device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    job()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def measured(
    name: str, path: Path, batches: Sequence[int], rounds: int, device: torch.device, ceilings: dict[Precision, float]
) -> list[Row]:
    network = load_network(path)
    network.module.to(device)
    # Some are compared with their authors' on smaller crops than those that they restore.
    face = replace(read_fingerprint(name), side=network.architecture.side or 512).crop().to(device)
    work = operations(network, face)
    plain = plain_network(path, network)
    rows: list[Row] = []
    for precision, most in ceilings.items():
        if precision == "bf16" and not network.architecture.bf16:
            print(f"{name:16} bf16 is left out: not known to be accurate for {network.architecture.name}", flush=True)
            continue
        dtype = DTYPES[precision]
        # The plain loop may run through the same module, so this one is a copy wherever it is cast.
        module: nn.Module = network.module if precision == "fp32" else load_network(path).module.to(device, dtype)
        for batch in batches:
            faces = face.expand(batch, -1, -1, -1).contiguous()

            def ours(module: nn.Module = module, faces: Tensor = faces, dtype: torch.dtype = dtype) -> object:
                return forward(network, module, faces, dtype)

            try:
                ours_seconds, plain_seconds = in_turn([ours, lambda: plain(face)], rounds, device)
            except torch.OutOfMemoryError:
                print(f"{name:16} {precision} x{batch:<3} does not fit into the memory of {device}", flush=True)
                break
            per_face = ours_seconds / batch
            rows.append(
                Row(
                    network=name,
                    precision=precision,
                    batch=batch,
                    ratio=plain_seconds / per_face,
                    share=work / per_face / most,
                    milliseconds=1000 * per_face,
                    plain=1000 * plain_seconds,
                    peak=peak(ours, device),
                )
            )
            show(rows[-1], device)
    return rows


def show(row: Row, device: torch.device) -> None:
    line = f"{row.network:16} {row.precision} x{row.batch:<3} {row.ratio:6.2f} times the plain loop, "
    line += f"{row.share:5.1%} of the ceiling"
    # Times of a CPU say more about what else it does than about the network.
    if device.type != "cpu":
        line += f", {row.milliseconds:8.2f} ms a face (plain {row.plain:.2f})"
    if row.peak is not None:
        line += f", {row.peak:7.0f} MiB"
    print(line, flush=True)


def arguments() -> argparse.Namespace:
    parser = options("Restoration networks beside the plain loop.", rounds=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 8 32, on a CPU 1 alone")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    return parser.parse_args()


def usable_device(name: str) -> torch.device:
    """Raises ``SystemExit`` with a sentence where there is no such device."""
    try:
        return torch.empty(1, device=name).device
    # PyTorch built without CUDA says so with an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise SystemExit(
            f"There is no device {name} here ({str(error).splitlines()[0]}). Choose --device cpu."
        ) from error


def main() -> int:
    given = arguments()
    device = usable_device(given.device)
    batches = given.batches or ([1] if device.type == "cpu" else [1, 8, 32])
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    ceilings = {precision: ceiling(device, DTYPES[precision]) for precision in precisions}
    for precision, most in ceilings.items():
        print(f"ceiling {precision}: {most / 1e9:.0f} GFLOP/s")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            path = Path(folder) / f"{name}.pth"
            write_checkpoint(read_fingerprint(name), path)
            rows += measured(name, path, batches, given.rounds, device, ceilings)
            path.unlink()
    write_json(given.json, {"device": str(device), "ceilings": ceilings, "rows": [asdict(row) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
