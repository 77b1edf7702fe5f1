"""Noise levels and samplers by ComfyUI's names for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from ...models.refiners import LEAST_DENOISE, Sampling


def sampler_names() -> list[str]:
    """What ComfyUI can sample with; other packs may have added to it."""
    return list(comfy.samplers.KSampler.SAMPLERS)


def scheduler_names() -> list[str]:
    """Likewise for the ways in which the noise falls."""
    return list(comfy.samplers.KSampler.SCHEDULERS)


def sampler_of(name: str) -> Any:
    """The sampler of that name.

    Raises:
        ValueError: there is none. ComfyUI itself would silently take the first one.
    """
    _check("sampler", name, sampler_names())
    return comfy.samplers.sampler_object(name)


def levels_of(patcher: Any, sampling: Sampling, denoise: float) -> Tensor:
    """The noise levels that the KSampler node would run through: the last ``steps`` of ``int(steps / denoise)``.

    Returns:
        ``[steps + 1]``, of some schedulers more or less; empty where there is no noise to speak of.

    Raises:
        ValueError: there is no such sampler or scheduler.
    """
    _check("sampler", sampling.sampler, sampler_names())
    _check("scheduler", sampling.scheduler, scheduler_names())
    if denoise < LEAST_DENOISE:
        # The schedule, of which only the end is run, would have more than a thousand times as many levels as steps.
        return torch.empty(0)
    levels: Tensor = comfy.samplers.KSampler(
        patcher,
        steps=sampling.steps,
        device=patcher.load_device,
        sampler=sampling.sampler,
        scheduler=sampling.scheduler,
        denoise=denoise,
    ).sigmas
    return levels


def _check(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ValueError(f"ComfyUI has no {what} called {name!r}. Choose one of: {', '.join(known)}.")
