"""Upscaling whole frames with a network, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..faces.resizing import resize_image, scaled_size
from .host import Host, Progress, in_batches, layout_on
from .inference import InvalidOutputError, naming, unusable
from .restorers.loading import load_network
from .restorers.network import Network, forward
from .weights import WeightsError

# Sides of tiles in pixels of the input.
_LARGEST_TILE, _SMALLEST_TILE = 512, 96
# Neighbouring tiles share at least this many pixels. In the middle of them one tile fades into the next over
# ``_FEATHER`` pixels; the rest is there for the network to see beyond the join. With realesr-general-x4v3, which looks
# 34 pixels far, photographs in tiles of 128 differ from untiled ones by 0.2 levels of 255 at most (with an overlap of
# 32 by 4.2).
_OVERLAP, _FEATHER = 48, 8


def load_upscaler(path: Path, host: Host) -> Upscaler:
    """The upscaler in a file, whatever the file is called.

    Args:
        path: any network that spandrel reads and that makes an RGB picture of any size from one, such as Real-ESRGAN.
        host: gets the network to look after.

    Raises:
        WeightsError: as for ``load_restorer``, or the network takes nothing but aligned faces.
    """
    network = load_network(path)
    if network.architecture.side is not None:
        raise WeightsError(
            f"{path.name} ({network.architecture.name}) restores aligned faces and cannot upscale whole pictures. "
            "Choose it as the restorer."
        )
    return Upscaler(network, host)


class Upscaler:
    """An upscaling network in the care of a host.

    Attributes:
        name: the weight file's name without its ending.
        architecture: as its authors call it.
        scale: the network's own factor.
    """

    def __init__(self, network: Network, host: Host) -> None:
        self.name = network.name
        self.architecture = network.architecture.name
        self.scale = network.scale
        self._network = network
        self._host = host
        self._resident = host.adopt(network.module, torch.float32)

    def upscale(self, frames: Tensor, factor: float) -> Tensor:
        """Upscales frames by any factor; the geometry is that of :func:`~visage.faces.resizing.resize_frames`.

        The network runs over tiles that fit the memory, halved where they turn out not to. Each tile is brought to
        the smallest whole factor that divides the network's own and is not below the wanted one, so that the frame
        never exists larger than it must.

        Args:
            frames: ``[B, H, W, 3]`` float, RGB, 0..1.
            factor: greater than 0. Factors below the network's own shrink its result, those above enlarge it.

        Returns:
            Float32 ``[B, H', W', 3]`` of :func:`scaled_size`, 0..1, on the device of ``frames``.

        Raises:
            InvalidOutputError: the network gave NaN or infinite numbers.
            MemoryError: not even the smallest tile fits.
            RuntimeError: the network failed otherwise; names it.
        """
        count, height, width, _ = frames.shape
        size = scaled_size(height, width, factor)
        done = torch.empty((count, *size, 3), dtype=torch.float32, device=frames.device)
        unit = _unit(self.scale, factor)
        side = min(self._tile_side(), max(height, width))
        grid = _grid(height, width, side, unit)
        progress = self._host.progress(count * len(grid), "Upscale")
        index = 0
        while index < count:
            try:
                upscaled = self._in_tiles(frames[index].permute(2, 0, 1).float(), grid, unit, progress)
            except MemoryError:
                if side <= _SMALLEST_TILE:
                    raise
                side = max(side // 2, _SMALLEST_TILE)
                grid = _grid(height, width, side, unit)
                progress = self._host.progress((count - index) * len(grid), "Upscale")
                continue
            done[index] = resize_image(upscaled, size).permute(1, 2, 0)
            index += 1
        return done

    def _in_tiles(self, image: Tensor, grid: list[_Tile], unit: int, progress: Progress) -> Tensor:
        """A whole image ``[3, H, W]`` at ``unit`` times its size. ``MemoryError`` if a tile does not fit."""
        canvas = image.new_zeros((3, image.shape[1] * unit, image.shape[2] * unit))
        for tile in grid:
            # One item at a time: the memory is better spent on larger tiles than on several.
            part = image[:, tile.rows, tile.columns]
            (upscaled,) = in_batches(self._host, self.name, [part], 1, partial(self._upscale_tile, unit))
            rows = slice(tile.rows.start * unit, tile.rows.stop * unit)
            columns = slice(tile.columns.start * unit, tile.columns.stop * unit)
            canvas[:, rows, columns] += upscaled[0].to(canvas.device) * tile.weights.to(canvas.device)
            progress.advance()
        return canvas

    def _upscale_tile(self, unit: int, tiles: Sequence[Tensor]) -> Tensor:
        (tile,) = tiles
        height, width = tile.shape[1:]
        device = self._resident.bring(self._bytes(height, width))
        given = tile[None].to(device, memory_format=layout_on(device))
        with naming(self._host, self.name):
            output = forward(self._network, self._resident.module, given, self._resident.dtype)
        if unusable(output):
            raise InvalidOutputError(self.name, "a part of the frame")
        return resize_image(output[0].clamp(0, 1), (height * unit, width * unit))[None]

    def _bytes(self, height: int, width: int) -> int:
        return self._network.architecture.working_bytes(1, height, width, self._resident.dtype)

    def _tile_side(self) -> int:
        self._resident.bring(self._bytes(_SMALLEST_TILE, _SMALLEST_TILE))
        fitting = math.isqrt(self._host.free_bytes() // self._bytes(1, 1))
        return max(_SMALLEST_TILE, min(_LARGEST_TILE, fitting // 32 * 32))


@dataclass(frozen=True)
class _Tile:
    """A part of the input, and how much each pixel of its output counts (``[h, w]``)."""

    rows: slice
    columns: slice
    weights: Tensor


def _grid(height: int, width: int, side: int, unit: int) -> list[_Tile]:
    """Tiles of equal size that cover the image. The weights of all tiles over a pixel add up to 1."""
    return [
        _Tile(rows, columns, vertical[:, None] * horizontal)
        for rows, vertical in _strips(height, side, unit)
        for columns, horizontal in _strips(width, side, unit)
    ]


def _strips(length: int, side: int, unit: int) -> list[tuple[slice, Tensor]]:
    """Cuts one side of the image, evenly, and gives each strip the weights of its output pixels."""
    if length <= side:
        return [(slice(0, length), torch.ones(length * unit))]
    count = math.ceil((length - _OVERLAP) / (side - _OVERLAP))
    starts = [round(index * (length - side) / (count - 1)) for index in range(count)]
    weights = [torch.ones(side * unit) for _ in starts]
    ramp = (torch.arange(_FEATHER * unit) + 0.5) / (_FEATHER * unit)
    for index in range(count - 1):
        left, right = starts[index], starts[index + 1]
        fade = (left + side + right - _FEATHER) // 2
        fading, rising = (fade - left) * unit, (fade - right) * unit
        weights[index][fading : fading + len(ramp)] = 1 - ramp
        weights[index][fading + len(ramp) :] = 0
        weights[index + 1][:rising] = 0
        weights[index + 1][rising : rising + len(ramp)] = ramp
    return [(slice(start, start + side), weight) for start, weight in zip(starts, weights, strict=True)]


def _unit(scale: int, factor: float) -> int:
    """The smallest divisor of ``scale`` that is not below ``factor``, or else ``scale``."""
    return next((unit for unit in range(1, scale + 1) if scale % unit == 0 and unit >= factor), scale)
