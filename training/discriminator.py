"""Tells true patches of faces from restored ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2
_FOLD = 2


class PatchDiscriminator(nn.Module):
    """Scores every patch of some 40 pixels by itself (Isola et al., "Image-to-Image Translation", 2017).

    It sees the damaged picture beside the restored one, so that what counts is whether the texture fits this face.
    Weights are under spectral normalisation (Miyato et al., 2018), which needs no gradient penalty. Pixels are folded
    first: layers at full resolution would cost more than the restorer.

    Args:
        width: features of the first layer.
    """

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(
                (
                    spectral_norm(nn.Conv2d(6 * _FOLD**2, width, 3, padding=1)),
                    spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
                    spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
                )
            )
            self.score = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, images: Tensor, damaged: Tensor) -> Tensor:
        """Scores ``[N, 1, H / 8, W / 8]`` for ``[N, 3, H, W]`` twice; above 0 for what looks true."""
        hidden = F.pixel_unshuffle(torch.cat((images, damaged), dim=1) - 0.5, _FOLD)
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), _SLOPE)
        score: Tensor = self.score(hidden)
        return score
