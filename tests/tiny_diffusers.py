"""Tiny diffusion models with random weights, saved as diffusers folders and as checkpoints of the first trainers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

Kind = Literal["sd", "inpaint", "xl"]

_WIDTH = 32
_VAE = {
    "block_out_channels": [32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
_SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}
PIPELINES = {
    "sd": "StableDiffusionPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
    "xl": "StableDiffusionXLPipeline",
}


def write_tokenizer(folder: Path, padding: str = "<|endoftext|>", count: int = 514) -> Path:
    """A list of words that knows letters only: each byte, alone and at the end of a word; more are never used."""
    folder.mkdir(parents=True)
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in shown] + [chr(256 + index) for index in range(256 - len(shown))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map(str, range(100, count - 514 + 100))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": padding, "model_max_length": 77}))
    return folder


def unet_config(kind: Kind) -> dict[str, Any]:
    config: dict[str, Any] = {
        "in_channels": 9 if kind == "inpaint" else 4,
        "block_out_channels": [32, 32],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "cross_attention_dim": _WIDTH * 2 if kind == "xl" else _WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    if kind == "xl":
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + _WIDTH,
        }
    return config


def clip_config() -> dict[str, Any]:
    return {
        "vocab_size": 514,
        "hidden_size": _WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": _WIDTH,
        "bos_token_id": 512,
        "eos_token_id": 513,
        "pad_token_id": 513,
    }


def write_folder(folder: Path, kind: Kind = "sd", seed: int = 0) -> Path:
    """A whole diffusers folder, of about half a megabyte. The same seed gives the same model."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        UNet2DConditionModel.from_config(unet_config(kind)).save_pretrained(folder / "unet")
        AutoencoderKL.from_config(_VAE).save_pretrained(folder / "vae")
        CLIPTextModel(CLIPTextConfig(**clip_config())).save_pretrained(folder / "text_encoder")
        write_tokenizer(folder / "tokenizer")
        if kind == "xl":
            second = CLIPTextModelWithProjection(CLIPTextConfig(**clip_config()))
            second.save_pretrained(folder / "text_encoder_2")
            write_tokenizer(folder / "tokenizer_2", padding="!")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(_SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": PIPELINES[kind]}))
    return folder


@dataclass(frozen=True)
class Made:
    """The networks in a checkpoint, as diffusers and transformers have them."""

    unet: Any
    vae: Any
    texts: tuple[Any, ...]


def make(kind: Kind = "sd", full: bool = False, seed: int = 0) -> Made:
    """In the blocks and layers of the real models, but with few channels unless ``full`` (not for SDXL)."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    clip = clip_config() | {"hidden_size": 64, "num_attention_heads": 1, "projection_dim": 64}
    unet: dict[str, Any] = {"cross_attention_dim": 64, "block_out_channels": [32, 64, 64, 64], "attention_head_dim": 8}
    vae = {**_VAE, "layers_per_block": 2, "norm_num_groups": 32}
    if kind == "xl":
        unet = {
            "block_out_channels": [32, 64, 64],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "transformer_layers_per_block": [1, 2, 3],
            "attention_head_dim": [1, 1, 1],
            "cross_attention_dim": 128,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 6 * 256 + 64,
        }
    elif full:
        clip = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
        unet = {"cross_attention_dim": 768}
        vae |= {"block_out_channels": [128, 256, 512, 512], **{name: vae[name] * 2 for name in _VAE if "types" in name}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        texts: list[Any] = [CLIPTextModel(CLIPTextConfig(**clip))]
        if kind == "xl":
            texts.append(CLIPTextModelWithProjection(CLIPTextConfig(**clip)))
        unet |= {"in_channels": 9 if kind == "inpaint" else 4}
        return Made(UNet2DConditionModel(**unet), AutoencoderKL(**vae), tuple(texts))


def write_checkpoint(path: Path, made: Made, dtype: torch.dtype = torch.float32) -> Path:
    """One file in the layout of the first trainers."""
    from safetensors.torch import save_file

    blocks = len(made.vae.config.block_out_channels)
    first = "conditioner.embedders.0" if len(made.texts) == 2 else "cond_stage_model"
    parts = {
        "model.diffusion_model.": renamed(made.unet.state_dict(), _UNET_NAMES),
        "first_stage_model.": renamed(made.vae.state_dict(), _vae_names(blocks)),
        f"{first}.transformer.text_model.": renamed(made.texts[0].state_dict(), [(r"^text_model\.", "")]),
    }
    if len(made.texts) == 2:
        parts["conditioner.embedders.1.model."] = _as_open_clip(made.texts[1].state_dict())
    tensors = {prefix + name: value.to(dtype) for prefix, part in parts.items() for name, value in part.items()}
    for name, value in tensors.items():
        if ".attn_1." in name and value.ndim == 2:
            # There, attention is written as convolutions of one pixel.
            tensors[name] = value[:, :, None, None]
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def renamed(tensors: dict[str, Any], names: Any) -> dict[str, Any]:
    """Under other names: each pattern of ``names`` is replaced once, in order."""

    def other(name: str) -> str:
        for pattern, by in names:
            name = re.sub(pattern, by, name, count=1)
        return name

    return {other(name): value for name, value in tensors.items()}


def _as_open_clip(tensors: dict[str, Any]) -> dict[str, Any]:
    found = renamed(tensors, _OPEN_CLIP_NAMES)
    for name in [name for name in found if ".attn.q_proj." in name]:
        three = [found.pop(name.replace(".q_proj.", f".{letter}_proj.")) for letter in "qkv"]
        found[name.replace(".q_proj.", ".in_proj_")] = torch.cat(three)
    found["text_projection"] = found.pop("text_projection.weight").T
    return found


_OPEN_CLIP_NAMES = [
    (r"^text_model\.", ""),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^embeddings\.", ""),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.self_attn\.", ".attn."),
    (r"\.fc1\.", ".c_fc."),
    (r"\.fc2\.", ".c_proj."),
]
# The UNet of diffusers counts blocks and layers in them, the first trainers layers alone: two and one that resizes.
_UNET_NAMES = [
    (r"(resnets\.\d)\.norm1\.", r"\1.in_layers.0."),
    (r"(resnets\.\d)\.conv1\.", r"\1.in_layers.2."),
    (r"(resnets\.\d)\.time_emb_proj\.", r"\1.emb_layers.1."),
    (r"(resnets\.\d)\.norm2\.", r"\1.out_layers.0."),
    (r"(resnets\.\d)\.conv2\.", r"\1.out_layers.3."),
    (r"(resnets\.\d)\.conv_shortcut\.", r"\1.skip_connection."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^down_blocks\.(\d)\.resnets\.(\d)", lambda m: f"input_blocks.{1 + 3 * int(m[1]) + int(m[2])}.0"),
    (r"^down_blocks\.(\d)\.attentions\.(\d)", lambda m: f"input_blocks.{1 + 3 * int(m[1]) + int(m[2])}.1"),
    (r"^down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{3 + 3 * int(m[1])}.0.op"),
    (r"^mid_block\.resnets\.(\d)", lambda m: f"middle_block.{2 * int(m[1])}"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
    (r"^up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.0"),
    (r"^up_blocks\.(\d)\.attentions\.(\d)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.1"),
    (
        r"^up_blocks\.(\d)\.upsamplers\.0\.conv",
        lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{2 if int(m[1]) else 1}.conv",
    ),
]


def _vae_names(blocks: int) -> list[Any]:
    return [
        (r"down_blocks\.(\d)\.resnets\.", r"down.\1.block."),
        (r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample."),
        (r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{blocks - 1 - int(m[1])}.block."),
        (r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample."),
        (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{1 + int(m[1])}"),
        (r"mid_block\.attentions\.0\.", "mid.attn_1."),
        (r"\.group_norm\.", ".norm."),
        (r"\.to_([qkv])\.", r".\1."),
        (r"\.to_out\.0\.", ".proj_out."),
        (r"\.conv_norm_out\.", ".norm_out."),
        (r"\.conv_shortcut\.", ".nin_shortcut."),
    ]
