"""How the mask acts while sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .noise import NoiseLevels


@dataclass(frozen=True, eq=False)
class MaskedSampling:
    """Keeps what is not masked as it was, at every step: there the model sees the original with as much noise as the
    rest has, and what it takes that for does not count. This is how ComfyUI does it, too.

    Attributes:
        levels: of the model.
        latents: ``[1, C, h, w]``, of the original.
        noise: the same shape, unit variance: the noise that the sampling starts from.
        mask: ``[1, 1, h, w]`` 0..1.
        sigmas: falling, the last one 0.
        threshold: 0 to 1, how far the mask is compared with a threshold that falls from 1 to 0 over the steps, instead
            of mixing by it (Levin and Fried, "Differential Diffusion", 2023).
    """

    levels: NoiseLevels
    latents: Tensor
    noise: Tensor
    mask: Tensor
    sigmas: Sequence[float]
    threshold: float

    def start(self) -> Tensor:
        """What the sampling begins with. At the highest level of the training noise has the variance of all."""
        sigma = self.sigmas[0]
        whole = sigma >= self.levels.most * (1 - 1e-5)
        return self.latents + self.noise * ((1 + sigma**2) ** 0.5 if whole else sigma)

    def picture(self, x: Tensor, sigma: float, model: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``model`` takes ``x`` for, where that counts."""
        mask = self._mask(sigma)
        picture = model(x * mask + (self.latents + self.noise * sigma) * (1 - mask))
        return picture * mask + self.latents * (1 - mask)

    def _mask(self, sigma: float) -> Tensor:
        if self.threshold == 0:
            return self.mask
        first, last, now = (self.levels.time(max(value, self.levels.least)) for value in (self.sigmas[0], 0.0, sigma))
        passed = self.mask >= (now - last) / max(first - last, 1)
        return passed.to(self.mask) * self.threshold + self.mask * (1 - self.threshold)
