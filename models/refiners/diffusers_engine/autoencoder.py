"""Between pixels and latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...host import Host, in_batches
from .held import Held

# Of a tile in pixels, where the whole does not fit: the size at which these autoencoders were trained or below.
_TILE = 256
# Working memory in numbers per pixel and channel of the first block: twice the 6 that tests/test_refiner_memory.py
# counts, for what convolutions need beside their results.
_FLOATS_PER_PIXEL = 12


class Autoencoder:
    """The VAE of a model: an ``AutoencoderKL`` of diffusers."""

    def __init__(self, vae: nn.Module, host: Host, dtype: torch.dtype, name: str) -> None:
        """``dtype``: of the other parts. The VAE keeps float32 where its configuration says that less overflows."""
        config: Any = vae.config
        self._config = config
        self._name = f"the VAE of {name}"
        self._host = host
        self._resident = host.adopt(Held(vae), torch.float32 if config.force_upcast else dtype)

    @property
    def compression(self) -> int:
        """Pixels per latent, along each side."""
        return int(2 ** (len(self._config.block_out_channels) - 1))

    def encode(self, pixels: Tensor) -> Tensor:
        """``[1, 3, H, W]`` 0..1 to latents ``[1, C, H / compression, W / compression]`` float32, the likeliest ones.

        Raises:
            MemoryError: it does not fit, even in tiles.
        """
        height, width = pixels.shape[-2:]
        latents = self._run(height, width, pixels * 2 - 1, lambda vae, x: vae.encode(x).latent_dist.mode())
        return (latents - self._shift) * self._scale

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to ``[1, 3, H, W]`` float32, about 0..1.

        Raises:
            MemoryError: it does not fit, even in tiles.
        """
        height, width = (side * self.compression for side in latents.shape[-2:])
        given = latents / self._scale + self._shift
        return self._run(height, width, given, lambda vae, x: vae.decode(x).sample) / 2 + 0.5

    @property
    def _shift(self) -> float:
        return float(self._config.shift_factor or 0.0)

    @property
    def _scale(self) -> float:
        return float(self._config.scaling_factor)

    def _run(self, height: int, width: int, given: Tensor, call: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """Runs a picture of that many pixels whole, or in tiles if it does not fit."""

        def run(tile: int | None) -> Tensor:
            pixels = height * width if tile is None else tile * tile
            device = self._resident.bring(self._bytes(pixels))
            vae = self._resident.module.network
            vae.use_tiling = tile is not None
            if tile is not None:
                vae.tile_sample_min_size, vae.tile_latent_min_size = tile, tile // self.compression
            return call(vae, given.to(device, self._resident.dtype)).float()

        try:
            return run(None)
        except (RuntimeError, MemoryError) as error:
            if not self._host.is_out_of_memory(error):
                raise
        self._host.release()
        (done,) = in_batches(self._host, self._name, [_TILE], 1, lambda tiles: run(tiles[0]))
        return done

    def _bytes(self, pixels: int) -> int:
        width = int(self._config.block_out_channels[0])
        return pixels * _FLOATS_PER_PIXEL * width * self._resident.dtype.itemsize
