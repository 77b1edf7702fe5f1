"""Repaints crops with the parts of a diffusers model.

The loop is written here and not taken from a pipeline of diffusers: those go through 8-bit pictures, move networks
between devices by themselves, and run ``steps * denoise`` steps, each in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...host import Host, Progress, in_batches
from ..refiner import Repaint, Sampling
from .autoencoder import Autoencoder
from .held import Held
from .masking import MaskedSampling
from .noise import Prediction, check_scheduler, schedule
from .parts import INPAINT_CHANNELS, Parts
from .samplers import SAMPLERS, Walk
from .text import PromptEncoder

# Working memory of the UNet in numbers per latent and channel of its first block: twice the 26 that
# tests/test_refiner_memory.py counts, for what convolutions and attention need beside their results.
_FLOATS_PER_LATENT = 52


def _of_noise(x: Tensor, output: Tensor, sigma: float) -> Tensor:
    return x - output * sigma


def _of_velocity(x: Tensor, output: Tensor, sigma: float) -> Tensor:
    size = float(sigma**2 + 1)
    return x / size - output * (sigma / math.sqrt(size))


def _of_picture(x: Tensor, output: Tensor, sigma: float) -> Tensor:
    return output


# From what a network gives to the picture, for pictures to which noise was added without dimming them.
_PICTURE: dict[Prediction, Callable[[Tensor, Tensor, float], Tensor]] = {
    "epsilon": _of_noise,
    "v_prediction": _of_velocity,
    "sample": _of_picture,
}


@dataclass(frozen=True, eq=False)
class _Told:
    """What the UNet is told besides the picture, one row for each way of guidance: unwanted, wanted.

    Attributes:
        words: ``[1 or 2, N, D]``.
        more: by the names of the UNet, for models of the SDXL kind.
    """

    words: Tensor
    more: dict[str, Tensor]


class DiffusersRefiner:
    """A :class:`~..refiner.Refiner` on a model of the Stable Diffusion kind.

    Models for inpainting are told in every mode what is masked, since they know no other way to be asked.

    Attributes:
        name: of the model's file or folder.
        multiple: the compression of the VAE times that of the UNet.
        inpaints: whether the model was made for inpainting.
    """

    def __init__(self, parts: Parts, host: Host, dtype: torch.dtype) -> None:
        config: Any = parts.unet.config
        self.name = parts.name
        self.inpaints = config.in_channels == INPAINT_CHANNELS
        self._config = config
        self._is_sdxl = parts.is_sdxl
        self._levels = parts.levels
        self._host = host
        self._text = PromptEncoder(parts.texts, host, dtype, parts.is_sdxl)
        self._unet = host.adopt(Held(parts.unet), dtype)
        self._vae = Autoencoder(parts.vae, host, dtype, parts.name)
        self.multiple = self._vae.compression * 2 ** (len(config.block_out_channels) - 1)

    @property
    def knows_levels(self) -> bool:
        return False

    def steps(self, sampling: Sampling) -> int:
        """Raises ``ValueError`` for a sampling that this model or engine cannot do."""
        if sampling.sampler not in SAMPLERS:
            raise ValueError(f"There is no sampler {sampling.sampler!r}. Choose {', '.join(SAMPLERS)}.")
        check_scheduler(sampling.scheduler)
        if sampling.mode == "inpaint model" and not self.inpaints:
            raise ValueError(
                f"{self.name} is no inpaint model. Choose the mode differential or noise mask, or load a model that "
                "was made for inpainting."
            )
        return sampling.steps

    @torch.no_grad()
    def repaint(self, work: Repaint, sampling: Sampling, progress: Progress) -> Tensor:
        """As :meth:`..refiner.Refiner.repaint`. The same work gives the same bits.

        Raises:
            ValueError: as :meth:`steps`, or the sides of the crop are no multiples.
            MemoryError: it does not fit, even with the VAE in tiles.
        """
        steps = self.steps(sampling)
        height, width = work.pixels.shape[:2]
        if height % self.multiple or width % self.multiple:
            raise ValueError(
                f"{self.name} takes crops whose sides are multiples of {self.multiple}, not {width} x {height}."
            )
        if work.denoise <= 0:
            progress.advance(steps)
            return work.pixels.float()
        told = self._told(work, sampling.cfg)
        pixels = work.pixels.movedim(-1, 0)[None].float()
        mask = work.mask[None, None].float()
        if sampling.mode == "whole crop":
            mask = torch.ones_like(mask)
        latents = self._vae.encode(pixels)
        extra = self._extra_channels(pixels, mask, latents)
        # On the CPU, so that every device gets the same noise.
        generator = torch.Generator().manual_seed(work.seed)

        def noise() -> Tensor:
            return torch.randn(latents.shape, generator=generator).to(latents.device)

        first = noise()
        sigmas = schedule(self._levels, sampling.scheduler, steps, work.denoise)
        threshold = sampling.differential if sampling.mode == "differential" else 0.0
        small = F.interpolate(mask, size=latents.shape[-2:], mode="area").to(latents)
        masked = MaskedSampling(self._levels, latents, first, small, sigmas, threshold)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            self._host.check_interrupt()
            return masked.picture(x, sigma, lambda noisy: self._picture(noisy, sigma, extra, told, sampling.cfg))

        done = SAMPLERS[sampling.sampler](masked.start(), Walk(denoise, sigmas, noise, progress.advance))
        return self._vae.decode(done)[0].movedim(0, -1).to(work.pixels.device)

    def _told(self, work: Repaint, cfg: float) -> _Told:
        """What the UNet is told besides the picture; without guidance nothing of what is not wanted."""
        texts = [work.prompt] if cfg <= 1 else [work.negative, work.prompt]
        found = self._text.encode(texts)
        words = torch.cat([each.words for each in found])
        summaries = [each.summary for each in found if each.summary is not None]
        if not self._is_sdxl:
            return _Told(words, {})
        height, width = work.pixels.shape[:2]
        # The size of the training picture, what was cut off of it, and the size to draw.
        sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=words.dtype, device=words.device)
        return _Told(words, {"text_embeds": torch.cat(summaries), "time_ids": sizes.repeat(len(found), 1)})

    def _extra_channels(self, pixels: Tensor, mask: Tensor, latents: Tensor) -> Tensor | None:
        """For a model made for inpainting: what is masked, and the picture without it (grey in its place)."""
        if not self.inpaints:
            return None
        hidden = (mask >= 0.5).to(pixels)
        bare = self._vae.encode((pixels - 0.5) * (1 - hidden) + 0.5)
        return torch.cat([F.interpolate(hidden, size=latents.shape[-2:]).to(latents), bare], dim=1)

    def _picture(self, x: Tensor, sigma: float, extra: Tensor | None, told: _Told, cfg: float) -> Tensor:
        """What the model takes noisy latents for, by guidance away from what is not wanted (Ho and Salimans,
        "Classifier-Free Diffusion Guidance", 2022)."""
        size = math.sqrt(sigma**2 + 1)
        given = x / size if extra is None else torch.cat([x / size, extra], dim=1)
        (output,) = in_batches(
            self._host, self.name, [given], 1, lambda inputs: self._predict(inputs[0], self._levels.time(sigma), told)
        )
        pictures = _PICTURE[self._levels.prediction](x, output.to(x.device).float(), sigma)
        if len(pictures) == 1:
            return pictures
        unwanted, wanted = pictures[:1], pictures[1:]
        return unwanted + (wanted - unwanted) * cfg

    def _predict(self, given: Tensor, time: int, told: _Told) -> Tensor:
        count = len(told.words)
        device = self._unet.bring(self._bytes(count, given))
        dtype = self._unet.dtype
        output: Tensor = self._unet.module.network(
            given.to(device, dtype).expand(count, -1, -1, -1),
            torch.tensor(time, device=device),
            encoder_hidden_states=told.words.to(device, dtype),
            added_cond_kwargs={name: value.to(device, dtype) for name, value in told.more.items()},
            return_dict=False,
        )[0]
        return output

    def _bytes(self, count: int, given: Tensor) -> int:
        latents = given.shape[-2] * given.shape[-1]
        width = self._config.block_out_channels[0]
        return int(count * latents * _FLOATS_PER_LATENT * width * self._unet.dtype.itemsize)
