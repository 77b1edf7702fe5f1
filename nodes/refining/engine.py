"""The refiner made of what a graph holds: MODEL, CLIP, VAE and CONDITIONING, of any kind that ComfyUI samples."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...models.host import Host, Progress
from ...models.refiners import Repaint, Sampling
from ..host import ComfyHost
from . import patches
from .conditions import Conditioning, Texts
from .differential import differential
from .inpainting import only_fills, takes_masks
from .latents import cell_of, decode, encode, multiple_of
from .placing import Placing
from .schedule import levels_of, sampler_of
from .steps import Steps, previewer_of


@dataclass(frozen=True, eq=False)
class ComfyRefiner:
    """Repaints with ComfyUI's samplers. Nothing that comes from the graph is changed.

    Attributes:
        vae: from pixels to the model's latents.
        model, positive, negative: needed unless there is a ``guider``.
        clip: needed for texts alone.
        guider: in place of model, positive, negative and ``Sampling.cfg``. A text replaces the guider's own
            conditioning of the same name.
        sampler: in place of ``Sampling.sampler``.
        sigmas: ``[steps + 1]`` noise levels, in place of steps, scheduler and denoise.
        host: says what is an out-of-memory error.
    """

    vae: Any
    model: Any | None = None
    positive: Conditioning = field(default_factory=list)
    negative: Conditioning = field(default_factory=list)
    clip: Any | None = None
    guider: Any | None = None
    sampler: Any | None = None
    sigmas: Tensor | None = None
    host: Host = field(default_factory=ComfyHost)

    @property
    def name(self) -> str:
        return type(self._patcher.model).__name__

    @property
    def multiple(self) -> int:
        return multiple_of(self._patcher, self.vae)

    @property
    def knows_levels(self) -> bool:
        return self.sigmas is not None

    def steps(self, sampling: Sampling) -> int:
        return sampling.steps if self.sigmas is None else max(len(self.sigmas) - 1, 0)

    def repaint(self, work: Repaint, sampling: Sampling, progress: Progress) -> Tensor:
        """As :class:`~...models.refiners.Refiner` says.

        Raises:
            ValueError: unknown names, a text without CLIP, a mode that the model cannot do.
            MemoryError: the VAE does not fit, even in tiles.
        """
        levels = self._levels(sampling, work.denoise)
        steps = Steps(progress, self.steps(sampling), self._previewer)
        if len(levels) < 2:
            steps.finish()
            return work.pixels
        # Texts before pixels: the text encoder makes room for the VAE, and that for the model.
        guider = self._guider_for(work, sampling)
        latent = encode(self._patcher, self.vae, work.pixels, self.host)
        painted = guider.sample(
            comfy.sample.prepare_noise(latent, work.seed),
            latent,
            sampler_of(sampling.sampler) if self.sampler is None else self.sampler,
            levels,
            denoise_mask=None if sampling.mode == "whole crop" else work.mask[None, None],
            callback=steps,
            disable_pbar=True,
            seed=work.seed,
        )
        steps.finish()
        return decode(self.vae, painted, self.host).to(work.pixels.device)

    @property
    def _patcher(self) -> Any:
        if self.guider is not None:
            return self.guider.model_patcher
        if self.model is None:
            raise ValueError("There is no model to repaint with: connect model, or guider.")
        return self.model

    @cached_property
    def _given(self) -> dict[str, Conditioning]:
        """The conditionings by the names that guiders have for them."""
        if self.guider is None:
            return {"positive": self.positive, "negative": self.negative}
        return {name: [_pair(entry) for entry in found] for name, found in self.guider.original_conds.items()}

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self.clip)

    @cached_property
    def _previewer(self) -> Any | None:
        return previewer_of(self._patcher)

    def _levels(self, sampling: Sampling, denoise: float) -> Tensor:
        if self.sigmas is not None:
            return self.sigmas
        if self.sampler is not None:
            sampling = replace(sampling, sampler="euler")
        return levels_of(self._patcher, sampling, denoise)

    def _guider_for(self, work: Repaint, sampling: Sampling) -> Any:
        """A guider of its own for one crop, with the conditionings as the crop's window sees them."""
        texts = {"positive": work.prompt, "negative": work.negative}
        for name, text in texts.items():
            if text and name not in self._given:
                raise ValueError(f"The connected guider has no {name} prompt that the text could replace: clear it.")
        placing = Placing(work.window, cell_of(self.vae))
        more = self._inpainting(work, sampling)
        # Placed before they are worded: of prompts for parts of the frame a text goes by those that touch the crop.
        placed = {
            name: self._texts.conditioning(texts.get(name, ""), placing.conditioning(given))
            for name, given in self._given.items()
        }
        guider = self._guider_of(patches.for_window(self._patcher, placing), sampling)
        guider.inner_set_conds(
            {name: [[tokens, rest | more] for tokens, rest in pairs] for name, pairs in placed.items()}
        )
        if sampling.mode == "differential":
            options = {"denoise_mask_function": differential(sampling.differential)}
            guider.model_options = guider.model_options | options
        return guider

    def _guider_of(self, patcher: Any, sampling: Sampling) -> Any:
        """A guider for the model, or for a clone of it, without conditionings."""
        if self.guider is None:
            guider = comfy.samplers.CFGGuider(patcher)
            guider.set_cfg(sampling.cfg)
            return guider
        guider = copy.copy(self.guider)
        guider.original_conds = {}
        if patcher is not self.guider.model_patcher:
            guider.model_patcher = patcher
            inner = {"patches": patcher.model_options["transformer_options"]["patches"]}
            inner = guider.model_options.get("transformer_options", {}) | inner
            guider.model_options = guider.model_options | {"transformer_options": inner}
        return guider

    def _inpainting(self, work: Repaint, sampling: Sampling) -> dict[str, Tensor]:
        """What a model made for inpainting is told: the crop with the masked part grey, and the mask. Without it, it
        would be shown what it is to fill in. Where all is masked there is nothing to tell."""
        model = self._patcher.model
        if sampling.mode == "inpaint model" and not takes_masks(model):
            raise ValueError(
                f'The mode "inpaint model" needs a checkpoint made for inpainting; this {self.name} is none. Choose '
                "differential or noise mask."
            )
        if sampling.mode != "inpaint model" and (sampling.mode == "whole crop" or not only_fills(model)):
            return {}
        kept = 1 - work.mask.round()[..., None]
        grey = torch.lerp(torch.full_like(work.pixels, 0.5), work.pixels, kept)
        return {
            "concat_latent_image": encode(self._patcher, self.vae, grey, self.host),
            "concat_mask": work.mask[None, None],
        }


def _pair(entry: dict[str, Any]) -> list[Any]:
    """One entry of a guider's conditioning as it was before the guider took it over."""
    return [entry.get("cross_attn"), {key: value for key, value in entry.items() if key != "cross_attn"}]
