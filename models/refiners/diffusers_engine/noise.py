"""How much noise there is at each step: the levels that a model was trained with, and schedules over them.

Noise is told as sigma, the standard deviation of the noise over that of the picture, as in Karras et al., "Elucidating
the Design Space of Diffusion-Based Generative Models", 2022. Names and formulas of the schedules are those of ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...weights import WeightsError

Prediction = Literal["epsilon", "v_prediction", "sample"]
# The last of the levels of a model that was trained down to no signal at all: a finite number in its place.
_NO_SIGNAL = 2.0**-24


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The noise levels of a model's training.

    Attributes:
        sigmas: float64 on the CPU, rising, one for each time of the training.
        prediction: what the network gives: the noise, the velocity of Salimans and Ho, 2022, or the picture itself.
    """

    sigmas: Tensor
    prediction: Prediction = "epsilon"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> NoiseLevels:
        """From the configuration of a scheduler of diffusers.

        Raises:
            WeightsError: it is of a kind of model that is not sampled here, such as flow matching.
        """
        prediction = config.get("prediction_type", "epsilon")
        name = str(config.get("_class_name", ""))
        if prediction not in get_args(Prediction) or "FlowMatch" in name or "EDM" in name:
            raise WeightsError(
                f"Its scheduler ({name}, {prediction}) is of a kind that is not supported. Models of the Stable "
                "Diffusion 1, 2 and XL kind are."
            )
        kept = torch.cumprod(1 - _betas(config), 0)
        if config.get("rescale_betas_zero_snr", False):
            kept = _to_no_signal(kept)
        return cls(((1 - kept) / kept).sqrt(), prediction)

    def time(self, sigma: float) -> int:
        """The time of the training whose noise is nearest, in ratio."""
        return int((self.sigmas.log() - math.log(sigma)).abs().argmin())

    def sigma(self, time: float) -> float:
        """The noise at a time, which may lie between two of the training."""
        low = int(time)
        high = min(low + 1, len(self.sigmas) - 1)
        part = time - low
        return float(((1 - part) * self.sigmas[low].log() + part * self.sigmas[high].log()).exp())

    @property
    def least(self) -> float:
        return float(self.sigmas[0])

    @property
    def most(self) -> float:
        return float(self.sigmas[-1])


def _betas(config: Mapping[str, Any]) -> Tensor:
    """Variances of the noise that each time of the training adds, float64."""
    given = config.get("trained_betas")
    if given is not None:
        return torch.tensor(given, dtype=torch.float64)
    first, last = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    times = config.get("num_train_timesteps", 1000)
    kind = config.get("beta_schedule", "linear")
    if kind == "scaled_linear":
        return torch.linspace(first**0.5, last**0.5, times, dtype=torch.float64) ** 2
    if kind == "linear":
        return torch.linspace(first, last, times, dtype=torch.float64)
    raise WeightsError(f"Its scheduler adds noise by {kind!r}, which is not supported (linear and scaled_linear are).")


def _to_no_signal(kept: Tensor) -> Tensor:
    """Shifts and stretches what is kept of the picture so that at the last time it is nothing (Lin et al., "Common
    Diffusion Noise Schedules and Sample Steps are Flawed", 2024, algorithm 1)."""
    root = kept.sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return (root**2).clamp(min=_NO_SIGNAL)


def check_scheduler(name: str) -> None:
    """Raises ``ValueError`` where there is no schedule of that name."""
    if name not in SCHEDULES:
        raise ValueError(f"There is no scheduler {name!r}. Choose {', '.join(SCHEDULES)}.")


def schedule(levels: NoiseLevels, name: str, steps: int, denoise: float) -> list[float]:
    """The noise before each of ``steps`` steps and, as the last number, after all of them: 0.

    Below a denoise of 1 it is the end of the schedule of ``steps / denoise`` steps.

    Raises:
        ValueError: as :func:`check_scheduler`.
    """
    check_scheduler(name)
    # As ComfyUI does: what is this near to 1 counts as 1.
    whole = steps if denoise > 0.9999 else int(steps / denoise)
    return [*SCHEDULES[name](levels, whole), 0.0][-(steps + 1) :]


def _normal(levels: NoiseLevels, steps: int) -> list[float]:
    return [levels.sigma(time) for time in _even(len(levels.sigmas) - 1, 0, steps)]


def _sgm_uniform(levels: NoiseLevels, steps: int) -> list[float]:
    return [levels.sigma(time) for time in _even(len(levels.sigmas) - 1, 0, steps + 1)[:-1]]


def _simple(levels: NoiseLevels, steps: int) -> list[float]:
    times = len(levels.sigmas)
    return [float(levels.sigmas[times - 1 - int(step * times / steps)]) for step in range(steps)]


def _karras(levels: NoiseLevels, steps: int) -> list[float]:
    """Equation 5 of Karras et al., rho = 7."""
    return [root**7 for root in _even(levels.most ** (1 / 7), levels.least ** (1 / 7), steps)]


def _exponential(levels: NoiseLevels, steps: int) -> list[float]:
    return [math.exp(value) for value in _even(math.log(levels.most), math.log(levels.least), steps)]


def _kl_optimal(levels: NoiseLevels, steps: int) -> list[float]:
    """Theorem 3.1 of Sabour et al., "Align Your Steps", 2024."""
    return [math.tan(angle) for angle in _even(math.atan(levels.most), math.atan(levels.least), steps)]


def _even(first: float, last: float, count: int) -> list[float]:
    values: list[float] = torch.linspace(first, last, count, dtype=torch.float64).tolist()
    return values


SCHEDULES: dict[str, Callable[[NoiseLevels, int], list[float]]] = {
    "normal": _normal,
    "karras": _karras,
    "exponential": _exponential,
    "sgm_uniform": _sgm_uniform,
    "simple": _simple,
    "kl_optimal": _kl_optimal,
}
