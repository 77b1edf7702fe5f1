"""Both engines on one checkpoint of the size of Stable Diffusion 1.5: run by ``tests/test_refiner_engines.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from visage.models.refiners import Sampling
from visage.tests import comfy_side
from visage.tests.tiny_repaint import Steps, a_crop

PROMPT, NEGATIVE = "a face, smiling", "ugly"


@pytest.fixture(scope="module")
def engines(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """That of diffusers, then that of ComfyUI."""
    comfy_side.begin(base)
    import comfy.sd
    from safetensors.torch import save_file
    from visage.models.refiners.diffusers_engine import load_inpainter
    from visage.nodes.host import ComfyHost
    from visage.nodes.refining import ComfyRefiner
    from visage.tests.comfy_diffusion import checkpoint

    path = tmp_path_factory.mktemp("checkpoint") / "full.safetensors"
    save_file(checkpoint(full=True), path)
    tokenizer = Path(comfy.sd.__file__).parent / "sd1_tokenizer"
    with torch.inference_mode():
        ours = load_inpainter(path, ComfyHost(), "fp32", tokenizer)
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path))
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (PROMPT, NEGATIVE))
    return ours, ComfyRefiner(vae=vae, model=model, positive=positive, negative=negative, clip=clip)


@pytest.mark.parametrize(
    ("mode", "sampler", "scheduler"),
    [
        ("noise mask", "euler", "normal"),
        ("differential", "dpmpp_2m", "karras"),
        ("whole crop", "heun", "simple"),
    ],
)
def test_the_same_words_mean_the_same_in_both_engines(
    engines: tuple[Any, Any], mode: Any, sampler: str, scheduler: str
) -> None:
    sampling = Sampling(steps=2, sampler=sampler, scheduler=scheduler, mode=mode)
    work = a_crop(64, 64, prompt=PROMPT, negative=NEGATIVE, denoise=0.6)
    with torch.inference_mode():
        one, other = (engine.repaint(work, sampling, Steps()) for engine in engines)
    spread = float(one.max() - one.min())
    assert spread > 0.01
    assert float((one - other).abs().max()) < spread * 1e-3
