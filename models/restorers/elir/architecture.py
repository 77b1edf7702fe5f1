"""ELIR: a guess in a small latent space, some noise, and a flow that carries it to a sharp face.

After Cohen et al., "Efficient Image Restoration via Latent Consistency Flow Matching", BMVC 2025. Names of parameters
are those of the authors' checkpoints (https://github.com/eladc-git/ELIR).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .autoencoder import Decoder, Encoder
from .estimate import Estimate
from .flow import Flow, time_waves

# Standard deviation of the noise in the authors' configuration for blind face restoration.
_NOISE = 0.1


class ELIR(nn.Module):
    """The network. Pictures are 0..1, their sides multiples of 32.

    Args:
        latent: channels of the latents.
        width: channels of the flow's first level.
        multiples: see :class:`~.flow.Flow`.
        middle: blocks of the flow at its smallest size.
        waves: numbers that tell the flow the time.
        growth: channels that each layer of the first guess adds.
        groups: of layers of the first guess.
    """

    def __init__(
        self,
        latent: int = 16,
        width: int = 128,
        multiples: Sequence[int] = (1, 2, 1, 2),
        middle: int = 3,
        waves: int = 160,
        growth: int = 96,
        groups: int = 3,
    ) -> None:
        super().__init__()
        self.fmir = Flow(latent, width, multiples, middle, waves)
        self.mmse = Estimate(latent, growth, groups)
        self.enc = Encoder(latent)
        self.dec = Decoder(latent)
        self._waves = waves

    def forward(self, images: Tensor, steps: int = 5, seed: int = 0) -> Tensor:
        """Restores ``[N, 3, H, W]``.

        Args:
            steps: equal Euler steps from time 0 to 1; the authors take 5.
            seed: of the noise, which is drawn on the CPU, once for all pictures, so that it is the same on every
                device and in every batch.
        """
        latents = self.mmse(self.enc(images))
        latents = latents + _NOISE * _noise(latents, seed)
        for step in range(steps):
            waves = time_waves(step / steps, self._waves, latents.device).to(latents.dtype)
            latents = torch.add(latents, self.fmir(latents, waves), alpha=1 / steps)
        restored: Tensor = self.dec(latents)
        return restored


def _noise(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((1, *like.shape[1:]), generator=generator).to(like)
