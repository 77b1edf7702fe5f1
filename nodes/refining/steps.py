"""What a sampler reports while it runs, passed on to the one bar of the node."""

from __future__ import annotations

from typing import Any

import latent_preview
from torch import Tensor

from ...models.host import Progress
from ..host import Bar


class Steps:
    """The callback of one repainting: advances the progress by as many steps as were announced, whatever the sampler
    reports, and shows the picture as it comes to be.

    Args:
        progress: of the whole job.
        announced: steps of one repainting.
        previewer: makes pictures of latents, or ``None``.
    """

    def __init__(self, progress: Progress, announced: int, previewer: Any | None) -> None:
        self._progress = progress
        self._left = announced
        self._previewer = previewer

    def __call__(self, step: int, denoised: Tensor, latent: Tensor, total: int) -> None:
        # Samplers with steps of their own report more. They are asked about interrupts, too.
        done = min(1, self._left)
        self._left -= done
        if self._previewer is not None and isinstance(self._progress, Bar):
            self._progress.show(done, self._previewer.decode_latent_to_preview_image("JPEG", denoised))
        else:
            self._progress.advance(done)

    def finish(self) -> None:
        """Samplers that skip steps report fewer than were announced."""
        self._progress.advance(self._left)
        self._left = 0


def previewer_of(patcher: Any) -> Any | None:
    """Makes previews as the user has set it for ComfyUI; ``None`` where that is "none"."""
    return latent_preview.get_previewer(patcher.load_device, patcher.model.latent_format)
