"""From crops to latents and back, with what model and VAE say about their shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import comfy.sample
from torch import Tensor

from ...models.host import Host

T = TypeVar("T")

# Pixels of a tile and of its overlap, once the VAE has run out of memory with the tiles of 512 pixels that ComfyUI
# turns to by itself.
_TILE, _OVERLAP = 256, 64
# What ComfyUI's nodes for areas and boxes count in, and what checkpoints expect of image sizes at the least.
_CELL = 8


def multiple_of(patcher: Any, vae: Any) -> int:
    """Pixels of which sides must be multiples: whole cells of the latent, whole patches of the model."""
    patch = getattr(patcher.get_model_object("diffusion_model"), "patch_size", 1)
    if isinstance(patch, Sequence):
        patch = patch[-1]
    return math.lcm(_CELL, cell_of(vae) * int(patch))


def cell_of(vae: Any) -> int:
    """Pixels that one cell of a latent is wide and high; 1 where the model works on pixels."""
    return int(vae.spacial_compression_encode())


def encode(patcher: Any, vae: Any, pixels: Tensor, host: Host) -> Tensor:
    """A crop ``[H, W, 3]`` 0..1 as a latent ``[1, C, h, w]``, or ``[1, C, 1, h, w]`` for a model of videos.

    Raises:
        MemoryError: it does not fit, even in tiles.
    """
    one = pixels[None]
    latent = _in_tiles_if_need_be(
        host,
        "encode",
        one.shape[1:3],
        lambda: vae.encode(one),
        lambda: vae.encode_tiled(one, tile_x=_TILE, tile_y=_TILE, overlap=_OVERLAP),
    )
    shaped: Tensor = comfy.sample.fix_empty_latent_channels(patcher, latent)
    return shaped


def decode(vae: Any, latent: Tensor, host: Host) -> Tensor:
    """The picture ``[H, W, 3]`` float32 of a latent as :func:`encode` gives it.

    Raises:
        MemoryError: it does not fit, even in tiles.
    """
    if vae.latent_dim == 2 and latent.ndim == 5:
        latent = latent[:, :, 0]
    cell = cell_of(vae)
    size = [side * cell for side in latent.shape[-2:]]
    pixels = _in_tiles_if_need_be(
        host,
        "decode",
        size,
        lambda: vae.decode(latent),
        lambda: vae.decode_tiled(
            latent, tile_x=max(_TILE // cell, 1), tile_y=max(_TILE // cell, 1), overlap=_OVERLAP // cell
        ),
    )
    # A VAE of videos gives [1, T, H, W, C].
    picture: Tensor = pixels.reshape(-1, *pixels.shape[-3:])[0, ..., :3].float()
    return picture


def _in_tiles_if_need_be(
    host: Host, action: str, size: Sequence[int], whole: Callable[[], T], tiled: Callable[[], T]
) -> T:
    failure = ""
    for attempt in (whole, tiled):
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not host.is_out_of_memory(error):
                raise
            failure = str(error)
        # Outside the handler, whose exception keeps the tensors of the failed attempt alive.
        host.release()
    raise MemoryError(f"The VAE cannot {action} a crop of {size[1]}x{size[0]}, even in tiles: {failure}")
