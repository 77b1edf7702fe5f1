"""Reads checkpoints: one safetensors file with all parts, under the names that the first trainers gave them.

Sizes are read from the tensors, so that no configuration is needed. What is in no checkpoint is the list of words of
the tokenizer; it is looked for beside the file, in ComfyUI and in the cache of the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...host import is_out_of_memory
from ...locations import comfyui_models
from ...weights import WeightsError, no_room, read_weights
from .folder import read_tokenizer, text_encoder
from .noise import NoiseLevels
from .parts import Parts, TextPart, assemble

_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_CLIP = "cond_stage_model.transformer."
_FIRST_CLIP_XL = "conditioner.embedders.0.transformer."
_SECOND_CLIP_XL = "conditioner.embedders.1.model."
# A tensor that gives a kind of file away, and the rest of a sentence. In this order.
_OTHERS = (
    (
        "conditioner.embedders.0.model.ln_final.weight",
        "is the SDXL refiner, which has no use here. Choose an SDXL base or inpainting model.",
    ),
    (
        "cond_stage_model.model.ln_final.weight",
        "is a Stable Diffusion 2 model. As a single file it does not say how it was trained: get its diffusers folder.",
    ),
    (f"{_UNET}joint_blocks.0.x_block.attn.qkv.weight", "is a Stable Diffusion 3 model, which is not supported."),
    (f"{_UNET}double_blocks.0.img_attn.qkv.weight", "is a Flux model, which is not supported."),
    ("double_blocks.0.img_attn.qkv.weight", "is a Flux model without its other parts, which is not supported."),
)
# How all models of these kinds were trained.
_TRAINING = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
# Repositories that hold the tokenizer, and its folder in them.
_REPOSITORIES = (
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer/"),
    ("stable-diffusion-v1-5/stable-diffusion-inpainting", "tokenizer/"),
    ("runwayml/stable-diffusion-v1-5", "tokenizer/"),
    ("stabilityai/stable-diffusion-xl-base-1.0", "tokenizer/"),
    ("openai/clip-vit-large-patch14", ""),
)


def read_single_file(path: Path, tokenizer: Path | None = None, spare_tokenizer: Path | None = None) -> Parts:
    """Reads a checkpoint of Stable Diffusion 1 or SDXL, for inpainting or not.

    Args:
        tokenizer: a folder with ``vocab.json`` and ``merges.txt``, or a diffusers folder of any such model. Without it
            these are looked for beside the file.
        spare_tokenizer: such a folder for where there are none.

    Raises:
        WeightsError: it is another file, damaged or incomplete, or there is no tokenizer. The message says what to do.
        FileNotFoundError: there is no such file.
    """
    tensors = read_weights(path).tensors
    is_sdxl = f"{_SECOND_CLIP_XL}ln_final.weight" in tensors
    if not is_sdxl:
        for name, what in _OTHERS:
            if name in tensors:
                raise WeightsError(f"{path.name} {what}")
    needed = (_UNET, _VAE, *((_FIRST_CLIP_XL, _SECOND_CLIP_XL) if is_sdxl else (_CLIP,)))
    missing = [prefix for prefix in needed if not any(name.startswith(prefix) for name in tensors)]
    if missing:
        raise WeightsError(
            f"{path.name} is no whole checkpoint of Stable Diffusion 1.5 or SDXL: it holds no {missing[0]}... "
            "Choose a checkpoint (a file of 2 GB or more), not a LoRA, VAE or bare UNet."
        )
    words = read_tokenizer(_tokenizer_folder(path, tokenizer, spare_tokenizer))
    try:
        return Parts(
            path.stem,
            _unet(tensors, path),
            _vae(tensors, path, is_sdxl),
            _texts(tensors, path, words, is_sdxl),
            _levels(tensors),
        )
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise no_room(path.name) from error
        raise WeightsError(f"{path.name} is damaged or of a variant that is not supported ({error}).") from error


def _levels(tensors: Mapping[str, Tensor]) -> NoiseLevels:
    """Trainers leave empty tensors of these names in files that predict velocity, or were trained to no signal."""
    training: dict[str, Any] = dict(_TRAINING)
    if "v_pred" in tensors:
        training["prediction_type"] = "v_prediction"
    if "ztsnr" in tensors:
        training["rescale_betas_zero_snr"] = True
    return NoiseLevels.of(training)


def _unet(tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = unet_config({name.removeprefix(_UNET): value for name, value in tensors.items() if name.startswith(_UNET)})
    converted = convert_ldm_unet_checkpoint(dict(tensors), config)
    return assemble(lambda: UNet2DConditionModel.from_config(config), converted, path.name)


def unet_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration for diffusers of a UNet of the first trainers, from its tensors."""
    inputs = len({name.split(".")[1] for name in tensors if name.startswith("input_blocks.")})
    # Each block is some residual layers and what halves the size; the last block halves nothing.
    layers = next(number for number in range(1, inputs + 1) if not _has_layers(tensors, number)) - 1
    firsts = range(1, inputs, layers + 1)
    channels = [tensors[f"input_blocks.{first}.0.out_layers.3.weight"].shape[0] for first in firsts]
    depths = [_depth(tensors, f"input_blocks.{first}.1.") for first in firsts]
    attention = next(first for first, depth in zip(firsts, depths, strict=True) if depth)
    inside = f"input_blocks.{attention}.1."
    is_sdxl = "label_emb.0.0.weight" in tensors
    config: dict[str, Any] = {
        "in_channels": tensors["input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors["out.2.weight"].shape[0],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [depth or 1 for depth in depths],
        "cross_attention_dim": tensors[f"{inside}transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "use_linear_projection": tensors[f"{inside}proj_in.weight"].ndim == 2,
        # The number of heads is in no tensor. diffusers calls it the dimension of a head.
        "attention_head_dim": [max(1, count // 64) for count in channels] if is_sdxl else 8,
    }
    if is_sdxl:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": tensors["label_emb.0.0.weight"].shape[1],
        }
    return config


def _has_layers(tensors: Mapping[str, Tensor], number: int) -> bool:
    return f"input_blocks.{number}.0.in_layers.0.weight" in tensors


def _depth(tensors: Mapping[str, Tensor], prefix: str) -> int:
    start = f"{prefix}transformer_blocks."
    return len({name.removeprefix(start).split(".")[0] for name in tensors if name.startswith(start)})


def _vae(tensors: Mapping[str, Tensor], path: Path, is_sdxl: bool) -> nn.Module:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    down = f"{_VAE}encoder.down."
    blocks = {name.removeprefix(down).split(".")[0] for name in tensors if name.startswith(down)}
    channels = [tensors[f"{down}{block}.block.0.conv1.weight"].shape[0] for block in range(len(blocks))]
    layers = {name.split(".block.")[1].split(".")[0] for name in tensors if name.startswith(f"{down}0.block.")}
    config = {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "latent_channels": tensors[f"{_VAE}decoder.conv_in.weight"].shape[1],
        "layers_per_block": len(layers),
        "scaling_factor": 0.13025 if is_sdxl else 0.18215,
    }
    converted = convert_ldm_vae_checkpoint(dict(tensors), config)
    return assemble(lambda: AutoencoderKL.from_config(config), converted, path.name)


def _texts(tensors: Mapping[str, Tensor], path: Path, words: Any, is_sdxl: bool) -> tuple[TextPart, ...]:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    prefix = _FIRST_CLIP_XL if is_sdxl else _CLIP
    first = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    config = _clip_config(first, "quick_gelu")
    if len(words) != config["vocab_size"]:
        raise WeightsError(
            f"The tokenizer has {len(words)} words and {path.name} knows {config['vocab_size']}: name another one."
        )
    encoder = text_encoder(CLIPTextModel, config, first, path.name)
    texts = [TextPart(words, encoder, words.eos_token_id)]
    if is_sdxl:
        second: dict[str, Tensor] = convert_open_clip_checkpoint(None, dict(tensors), prefix=_SECOND_CLIP_XL)
        config = _clip_config(second, "gelu")
        encoder = text_encoder(CLIPTextModelWithProjection, config, second, path.name)
        texts.append(TextPart(words, encoder, 0))
    return tuple(texts)


def _clip_config(tensors: Mapping[str, Tensor], activation: str) -> dict[str, Any]:
    sizes = {name.removeprefix("text_model."): value.shape for name, value in tensors.items()}
    words, width = sizes["embeddings.token_embedding.weight"]
    layers = {name.split(".")[2] for name in sizes if name.startswith("encoder.layers.")}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": sizes["encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": sizes["embeddings.position_embedding.weight"][0],
        "projection_dim": sizes.get("text_projection.weight", (width,))[0],
        "hidden_act": activation,
        # The last two of the words.
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
    }


def _tokenizer_folder(path: Path, named: Path | None, spare: Path | None) -> Path:
    for folder in _candidates(path, named, spare):
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            return folder
    where = f"{named} holds no" if named is not None else "There is no"
    raise WeightsError(
        f"{where} tokenizer for {path.name}: a checkpoint comes without the list of words (vocab.json and merges.txt). "
        "Put the folder `tokenizer` of any Stable Diffusion 1.5 model in diffusers format beside the file, or name it."
    )


def _candidates(path: Path, named: Path | None, spare: Path | None) -> Iterator[Path]:
    if named is not None:
        yield from (named, named / "tokenizer")
        return
    yield from (path.with_suffix("") / "tokenizer", path.parent / "tokenizer")
    if spare is not None:
        yield spare
    comfyui = comfyui_models()
    if comfyui is not None:
        yield comfyui.parent / "comfy" / "sd1_tokenizer"
    from huggingface_hub import try_to_load_from_cache

    for repository, folder in _REPOSITORIES:
        found = try_to_load_from_cache(repository, f"{folder}vocab.json")
        if isinstance(found, str):
            yield Path(found).parent
