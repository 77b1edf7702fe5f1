"""Reads the folders in which diffusers keeps models: a file ``model_index.json`` and a folder for each part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...file_format import PICKLES
from ...weights import WeightsError, read_weights
from .noise import NoiseLevels
from .parts import Parts, TextPart, assemble

INDEX = "model_index.json"
# Beginnings of the names of pipelines whose parts are those that are read here.
_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_VARIANTS = ("Inpaint", "Img2Img")
# Old folders of diffusers name the parts of the attention of a VAE so.
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def is_diffusers_folder(path: Path) -> bool:
    return (path / INDEX).is_file()


def read_folder(path: Path) -> Parts:
    """Reads the parts that are needed; safety checkers and the like are left alone.

    Raises:
        WeightsError: it is the folder of another kind of model, or a file is missing, damaged or a pickle.
    """
    pipeline = str(_json(path / INDEX).get("_class_name"))
    if _without_variant(pipeline) not in _PIPELINES:
        raise WeightsError(
            f"{path.name} holds a {pipeline}, which is not supported. Models of the Stable Diffusion 1, 2 and XL "
            "kind are; for others use Refine Faces with the loaders of ComfyUI."
        )
    try:
        levels = NoiseLevels.of(_json(path / "scheduler" / "scheduler_config.json"))
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    return Parts(path.name, _unet(path / "unet"), _vae(path / "vae"), _texts(path), levels)


def _without_variant(pipeline: str) -> str:
    for variant in _VARIANTS:
        pipeline = pipeline.replace(f"{variant}Pipeline", "Pipeline")
    return pipeline


def _unet(folder: Path) -> nn.Module:
    from diffusers import UNet2DConditionModel

    config = _json(folder / "config.json")
    return assemble(lambda: UNet2DConditionModel.from_config(config), _tensors(folder), str(folder))


def _vae(folder: Path) -> nn.Module:
    from diffusers import AutoencoderKL

    tensors = {_present_name(name): value for name, value in _tensors(folder).items()}
    config = _json(folder / "config.json")
    return assemble(lambda: AutoencoderKL.from_config(config), tensors, str(folder))


def _present_name(name: str) -> str:
    for old, new in _OLD_ATTENTION.items():
        name = name.replace(old, new)
    return name


def _texts(path: Path) -> tuple[TextPart, ...]:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    texts = []
    for ending, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        folder = path / f"text_encoder{ending}"
        if folder.is_dir():
            tokenizer = read_tokenizer(path / f"tokenizer{ending}")
            encoder = text_encoder(kind, _json(folder / "config.json"), _tensors(folder), str(folder))
            texts.append(TextPart(tokenizer, encoder, tokenizer.pad_token_id))
    return tuple(texts)


def text_encoder(kind: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor], what: str) -> nn.Module:
    """A text encoder of transformers, whose newer versions leave out the first part of the names of its tensors."""
    from transformers import CLIPTextConfig

    bare = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    named = {f"text_model.{name}": value for name, value in bare.items()}
    return assemble(lambda: kind(CLIPTextConfig(**config)), {**named, **bare}, what)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of CLIP.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    from transformers import CLIPTokenizer

    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} lacks {name}. Get the whole folder of the model again.")
    try:
        _check_words(folder)
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise WeightsError(f"The tokenizer in {folder} cannot be read ({error}). Get it again.") from error


def _check_words(folder: Path) -> None:
    """Looks for what transformers tells by a bare ``Exception`` that names no file.

    Raises:
        OSError, ValueError: ``merges.txt`` is no text.
        WeightsError: another of the two files is damaged.
    """
    words = _json(folder / "vocab.json")
    if "<|endoftext|>" not in words or not all(isinstance(number, int) and number >= 0 for number in words.values()):
        raise WeightsError(f"{folder / 'vocab.json'} is no list of CLIP's words. Get the folder of the model again.")
    with (folder / "merges.txt").open(encoding="utf-8") as merges:
        for number, line in enumerate(merges, 1):
            pair = line.rstrip("\n").split(" ")
            if not line.startswith("#version") and not (len(pair) == 2 and words.keys() >= {*pair, "".join(pair)}):
                raise WeightsError(
                    f"{merges.name} is damaged or does not belong to the vocab.json beside it: line {number} joins no "
                    "two of its words. Get the folder of the model again."
                )


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a part: of one file or of several, full or half precision, the full one first."""
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    whole = [path for path in files if ".fp16" not in path.name and ".non_ema" not in path.name]
    chosen = whole or [path for path in files if ".fp16" in path.name]
    if not chosen:
        pickles = [path.name for path in sorted(folder.glob("*")) if path.suffix in (".bin", *PICKLES)]
        if pickles:
            raise WeightsError(
                f"{folder} holds {pickles[0]} and no .safetensors file. Such files may run code and are not read: "
                "get the safetensors version of the model."
            )
        raise WeightsError(f"{folder} holds no .safetensors file. Get the whole folder of the model again.")
    tensors: dict[str, Tensor] = {}
    for path in chosen:
        tensors |= read_weights(path).tensors
    return tensors


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing. Get the whole folder of the model again.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}). Get the folder of the model again.") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} is not a configuration. Get the folder of the model again.")
    return values
