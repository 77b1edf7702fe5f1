"""Diffusion models without training, for tests in a process with a real ComfyUI (see ``tests/comfy_side.py``).

``python comfy_diffusion.py FILE`` writes a checkpoint in the layout of Stable Diffusion 1.5; with ``--full`` one of its
size, else one with a small UNet and a small VAE. Its text encoder has the one size that ComfyUI knows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TOKEN = 64
_UNET: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": (1, 2),
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "num_heads": 4,
    "num_head_channels": -1,
    "context_dim": TOKEN,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
    "dtype": torch.float32,
}
# Of the text encoder, not in published checkpoints.
_LEFT_OUT = ("cond_stage_model.logit_scale", "cond_stage_model.transformer.text_projection.weight")
# What makes ComfyUI take a checkpoint for Stable Diffusion 1.5.
_SD15 = {"model_channels": 320, "context_dim": 768, "num_heads": 8}
_SMALL = {
    "num_res_blocks": [1],
    "channel_mult": (1,),
    "transformer_depth": [1],
    "transformer_depth_output": [1, 1],
    "transformer_depth_middle": 1,
}
_FULL = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": (1, 2, 4, 4),
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
}
_VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def settled(module: nn.Module, seed: int, scale: float = 0.05) -> nn.Module:
    """The same module with small random weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale, generator=generator)
    return module.eval().requires_grad_(False)


def base_model(**changes: Any) -> Any:
    """A model of the kind of Stable Diffusion 1.5, with other numbers for its UNet."""
    import comfy.model_base
    import comfy.supported_models

    config = _UNET | changes
    kind = comfy.supported_models.SD15(dict(config))
    kind.set_inference_dtype(torch.float32, None)
    kind.unet_config = dict(config)
    model = comfy.model_base.BaseModel(kind, model_type=comfy.model_base.ModelType.EPS, device=torch.device("cpu"))
    if config["in_channels"] == 2 * 4 + 1:
        model.set_inpaint()
    return model


def model_of(seed: int = 1, **changes: Any) -> Any:
    """A MODEL with about a million random weights."""
    import comfy.model_patcher

    device = torch.device("cpu")
    return comfy.model_patcher.CoreModelPatcher(settled(base_model(**changes), seed), device, device)


def vae_of(seed: int = 2, latent_channels: int = 4) -> Any:
    """A VAE with random weights: the small one that ComfyUI uses for previews."""
    import comfy.sd

    return comfy.sd.VAE(sd=_small_vae(seed, latent_channels))


def _small_vae(seed: int, latent_channels: int = 4) -> dict[str, Tensor]:
    from comfy.taesd.taesd import TAESD

    return settled(TAESD(latent_channels=latent_channels), seed).state_dict()


def conditioning(seed: int, **rest: Any) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, TOKEN, generator=generator)
    return [[torch.randn(1, 77, TOKEN, generator=generator), {"pooled_output": pooled} | rest]]


class Words:
    """In the place of a CLIP: each text is a conditioning of its own, and ``texts`` are those that it was asked for."""

    def __init__(self, width: int = TOKEN) -> None:
        self.width = width
        self.texts: list[str] = []

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
        self.texts.append(tokens)
        made = conditioning(sum(tokens.encode()))
        return [[made[0][0][..., : self.width], made[0][1]]]


def checkpoint(full: bool, seed: int = 3) -> dict[str, Tensor]:
    """The weights of a checkpoint in half precision, small and random, by the names of Stable Diffusion 1.5."""
    parts = {
        "model.diffusion_model.": base_model(**_SD15 | (_FULL if full else _SMALL)).diffusion_model,
        "cond_stage_model.": _text_encoder(),
    }
    tensors = {
        prefix + name: value
        for number, (prefix, module) in enumerate(parts.items())
        for name, value in settled(module, seed + number, 0.02).state_dict().items()
    }
    vae = settled(_full_vae(), seed, 0.02).state_dict() if full else _small_vae(seed)
    tensors |= {f"first_stage_model.{name}": value for name, value in vae.items()}
    return {name: value.half().contiguous() for name, value in tensors.items() if name not in _LEFT_OUT}


def _text_encoder() -> nn.Module:
    import comfy.ops
    from comfy.sd1_clip import SDClipModel

    return SDClipModel(device="cpu", dtype=torch.float32, model_options={"custom_operations": comfy.ops.manual_cast})


def _full_vae() -> nn.Module:
    from comfy.ldm.models.autoencoder import AutoencoderKL

    return AutoencoderKL(ddconfig=dict(_VAE), embed_dim=4)


def main(arguments: Iterable[str] | None = None) -> None:
    from safetensors.torch import save_file
    from visage.tests import comfy_side

    parser = argparse.ArgumentParser(description="Write a checkpoint with random weights.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as base:
        comfy_side.begin(Path(base))
        save_file(checkpoint(given.full), given.file)


if __name__ == "__main__":
    main()
