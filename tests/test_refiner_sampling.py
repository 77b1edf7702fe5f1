"""Noise schedules and samplers of the diffusers engine, against diffusers and against what can be solved by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.models.refiners.diffusers_engine.masking import MaskedSampling
from visage.models.refiners.diffusers_engine.noise import SCHEDULES, NoiseLevels, schedule
from visage.models.refiners.diffusers_engine.samplers import SAMPLERS, Walk
from visage.models.weights import WeightsError

TRAINING = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
LEVELS = NoiseLevels.of(TRAINING)
STOCHASTIC = {"euler_ancestral", "dpmpp_2m_sde", "lcm"}
# Standard deviation of the pictures in the example that can be solved by hand.
SPREAD = 0.7


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("normal", {"timestep_spacing": "linspace"}),
        ("karras", {"use_karras_sigmas": True}),
        ("exponential", {"use_exponential_sigmas": True}),
        ("simple", {"timestep_spacing": "trailing"}),
    ],
)
@pytest.mark.parametrize("steps", [2, 7, 20])
def test_schedules_are_those_of_diffusers(name: str, options: dict[str, Any], steps: int) -> None:
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(**TRAINING, **options)
    scheduler.set_timesteps(steps)
    mine = torch.tensor(schedule(LEVELS, name, steps, 1.0))
    # diffusers mixes sigmas between times evenly, ComfyUI and this in ratio; and it takes whole times where it rounds.
    assert mine == pytest.approx(scheduler.sigmas, rel=0.02 if name == "simple" else 1e-3)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_lower_denoise_runs_the_end_of_a_longer_schedule(name: str) -> None:
    whole = schedule(LEVELS, name, 50, 1.0)
    part = schedule(LEVELS, name, 20, 0.4)
    assert part == whole[-21:]
    assert len(part) == 21
    assert part[-1] == 0
    assert all(here > there for here, there in pairwise(part))


def test_what_is_no_schedule_or_no_such_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no scheduler .turbo.\. Choose normal, karras"):
        schedule(LEVELS, "turbo", 3, 1.0)
    for config in ({"prediction_type": "flow_prediction"}, {"_class_name": "EDMEulerScheduler"}):
        with pytest.raises(WeightsError, match="not supported"):
            NoiseLevels.of(TRAINING | config)
    with pytest.raises(WeightsError, match="squaredcos_cap_v2"):
        NoiseLevels.of(TRAINING | {"beta_schedule": "squaredcos_cap_v2"})


@pytest.mark.parametrize("zero", [False, True])
def test_levels_are_those_of_diffusers(zero: bool) -> None:
    from diffusers import DDIMScheduler

    kept = DDIMScheduler(**TRAINING, rescale_betas_zero_snr=zero).alphas_cumprod.double()
    mine = NoiseLevels.of(TRAINING | {"rescale_betas_zero_snr": zero}).sigmas
    expected = ((1 - kept) / kept).sqrt()
    assert torch.allclose(mine[:-1], expected[:-1], rtol=1e-3)
    assert (mine[-1] > 1000) == zero


def test_times_and_noise_are_each_others_inverse() -> None:
    assert all(LEVELS.time(LEVELS.sigma(time)) == time for time in (0, 1, 500, 998, 999))
    assert LEVELS.sigma(10) < LEVELS.sigma(10.5) < LEVELS.sigma(11)


def walked(name: str, steps: int, start: Tensor, denoise: Any = None) -> tuple[Tensor, int]:
    """A sampler on pictures of which each value is normally distributed, of which the best guess is known."""
    generator = torch.Generator().manual_seed(2)
    done: list[None] = []

    def guess(x: Tensor, sigma: float) -> Tensor:
        return x * (SPREAD**2 / (SPREAD**2 + sigma**2))

    walk = Walk(
        denoise or guess,
        schedule(LEVELS, "karras", steps, 1.0),
        lambda: torch.randn(start.shape, generator=generator),
        lambda: done.append(None),
    )
    return SAMPLERS[name](start, walk), len(done)


def noise() -> Tensor:
    first = math.hypot(SPREAD, LEVELS.most)
    return torch.randn(20000, generator=torch.Generator().manual_seed(1)) * first


@pytest.mark.parametrize(
    ("name", "most"),
    [("euler", 0.1), ("ddim", 0.1), ("heun", 0.015), ("dpmpp_2m", 0.015), ("uni_pc_bh2", 0.006)],
)
def test_samplers_solve_the_equation_that_they_stand_for(name: str, most: float) -> None:
    start = noise()
    exact = start * (SPREAD / math.hypot(SPREAD, LEVELS.most))
    result, steps = walked(name, 20, start)
    assert steps == 20
    error = float((result - exact).abs().max() / exact.abs().max())
    assert error < most
    twice = float((walked(name, 40, start)[0] - exact).abs().max() / exact.abs().max())
    assert twice < error * (0.55 if name in {"euler", "ddim"} else 0.3)


@pytest.mark.parametrize("name", sorted(STOCHASTIC - {"lcm"}))
def test_samplers_with_noise_keep_the_spread_of_the_pictures(name: str) -> None:
    result, steps = walked(name, 60, noise())
    assert steps == 60
    assert float(result.std()) == pytest.approx(SPREAD, rel=0.02 if name == "dpmpp_2m_sde" else 0.07)
    assert float(result.mean()) == pytest.approx(0, abs=0.02)
    again, _ = walked(name, 60, noise())
    assert torch.equal(again, result)


def test_uni_pc_is_that_of_diffusers() -> None:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(**TRAINING, use_karras_sigmas=True, solver_order=2)
    scheduler.set_timesteps(12)
    sigmas = [float(sigma) for sigma in scheduler.sigmas]

    def picture(x: Tensor, sigma: float) -> Tensor:
        return x * 0.5 / (0.5 + sigma**2) + torch.tanh(x) * 0.3 * sigma / (1 + sigma**2)

    start = torch.randn(1, 64, 1, generator=torch.Generator().manual_seed(3)) * sigmas[0]
    dimmed = start / math.sqrt(1 + sigmas[0] ** 2)
    for sigma, time in zip(sigmas, scheduler.timesteps, strict=False):
        x = dimmed * math.sqrt(1 + sigma**2)
        dimmed = scheduler.step((x - picture(x, sigma)) / sigma, time, dimmed).prev_sample
    walk = Walk(picture, sigmas, lambda: start * 0, lambda: None)
    assert torch.allclose(SAMPLERS["uni_pc_bh2"](start, walk), dimmed, atol=1e-5)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_model_that_knows_the_picture_is_believed(name: str) -> None:
    picture = torch.linspace(-1, 1, 50)
    result, steps = walked(name, 5, noise()[:50], lambda x, sigma: picture)
    assert steps == 5
    assert torch.allclose(result, picture, atol=1e-5)


def masked(threshold: float, mask: Tensor) -> MaskedSampling:
    shape = (1, 4, 1, mask.shape[-1])
    original = torch.rand(shape, generator=torch.Generator().manual_seed(4))
    first = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    return MaskedSampling(
        LEVELS, original, first, mask[None, None, None], schedule(LEVELS, "normal", 10, 0.5), threshold
    )


def test_what_is_not_masked_stays_and_is_seen_with_its_own_noise() -> None:
    sampling = masked(0.0, torch.tensor([0.0, 0.5, 1.0]))
    seen: list[Tensor] = []
    picture = sampling.picture(torch.full((1, 4, 1, 3), 9.0), 2.0, lambda x: (seen.append(x), torch.zeros_like(x))[1])
    noisy = sampling.latents + sampling.noise * 2.0
    assert torch.equal(seen[0][..., 0], noisy[..., 0])
    assert torch.allclose(seen[0][..., 1], (noisy[..., 1] + 9) / 2)
    assert bool((seen[0][..., 2] == 9).all())
    assert torch.equal(picture[..., 0], sampling.latents[..., 0])
    assert torch.allclose(picture[..., 1], sampling.latents[..., 1] / 2)
    assert bool((picture[..., 2] == 0).all())


def test_the_differential_threshold_falls_from_one_to_zero() -> None:
    sampling = masked(1.0, torch.linspace(0, 1, 11))

    def open_at(sigma: float) -> int:
        kept = sampling.picture(torch.zeros_like(sampling.latents), sigma, lambda x: torch.full_like(x, 7.0))
        return int((kept[0, 0, 0] == 7).sum())

    counts = [open_at(sigma) for sigma in sampling.sigmas[:-1]]
    assert counts[0] == 1
    assert counts[-1] == 11
    assert counts == sorted(counts)
    half = masked(0.5, torch.tensor([0.5, 1.0]))
    at_first = half.picture(half.latents * 0, half.sigmas[0], lambda x: torch.full_like(x, 7.0))
    assert torch.allclose(at_first[..., 0], 7 * 0.25 + half.latents[..., 0] * 0.75)


def test_the_start_is_all_noise_only_where_the_training_began() -> None:
    part = masked(0.0, torch.ones(3))
    assert torch.allclose(part.start(), part.latents + part.noise * part.sigmas[0])
    whole = MaskedSampling(LEVELS, part.latents, part.noise, part.mask, schedule(LEVELS, "karras", 4, 1.0), 0.0)
    assert torch.allclose(whole.start(), part.latents + part.noise * math.sqrt(1 + LEVELS.most**2))
