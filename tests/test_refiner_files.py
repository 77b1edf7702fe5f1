"""Files and folders of diffusion models: what is read, and what is refused with which words."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from visage.models.host import TorchHost
from visage.models.refiners import Sampling
from visage.models.refiners.diffusers_engine import load_inpainter
from visage.models.refiners.diffusers_engine.folder import read_folder
from visage.models.refiners.diffusers_engine.single_file import read_single_file
from visage.models.weights import WeightsError
from visage.tests.tiny_diffusers import Kind, make, write_checkpoint, write_folder, write_tokenizer
from visage.tests.tiny_repaint import a_crop, repainted

HOST = TorchHost("cpu", quiet=True)


@pytest.fixture(autouse=True)
def _no_other_tokenizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def folder(made_folder: Path, tmp_path: Path) -> Path:
    """A whole model that may be spoilt."""
    return Path(shutil.copytree(made_folder, tmp_path / "tiny"))


@pytest.mark.parametrize("kind", ["sd", "inpaint", "xl"])
def test_a_checkpoint_holds_the_same_networks_as_it_was_made_of(kind: Kind, tmp_path: Path) -> None:
    made = make(kind)
    path = write_checkpoint(tmp_path / "model.safetensors", made)
    write_tokenizer(tmp_path / "tokenizer")
    parts = read_single_file(path)
    for one, other in ((parts.unet, made.unet), (parts.vae, made.vae)):
        assert same_tensors(one, other)
    assert len(parts.texts) == len(made.texts)
    assert all(same_tensors(text.encoder, other) for text, other in zip(parts.texts, made.texts, strict=True))
    assert parts.unet.config.attention_head_dim == made.unet.config.attention_head_dim
    assert parts.vae.config.scaling_factor == (0.13025 if kind == "xl" else 0.18215)
    latents, words = torch.ones(1, parts.unet.config.in_channels, 16, 16), torch.ones(1, 5, 64 * len(made.texts))
    more = {"text_embeds": torch.ones(1, 64), "time_ids": torch.ones(1, 6)} if kind == "xl" else {}
    with torch.no_grad():
        one, other = (
            unet(latents, 7, encoder_hidden_states=words, added_cond_kwargs=more).sample
            for unet in (parts.unet, made.unet.eval())
        )
    # Not to the bit: where tensors lie in memory decides how some processors add up.
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def same_tensors(one: Any, other: Any) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_says_how_it_was_trained(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.safetensors", make())
    write_tokenizer(tmp_path / "tokenizer")
    assert read_single_file(path).levels.prediction == "epsilon"
    assert read_single_file(path).levels.most == pytest.approx(14.6146, abs=1e-4)
    save_file(load_file(path) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    assert read_single_file(path).levels.prediction == "v_prediction"
    assert read_single_file(path).levels.most > 1000


def test_the_tokenizer_is_found_beside_the_file_in_comfyui_or_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tmp_path / "model.safetensors", make())
    with pytest.raises(WeightsError, match=r"no tokenizer for model\.safetensors.*Put the folder `tokenizer`"):
        load_inpainter(path, HOST, "fp32")
    with pytest.raises(WeightsError, match="elsewhere holds no tokenizer"):
        load_inpainter(path, HOST, "fp32", tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=r"has 600 words and model\.safetensors knows 514"):
        load_inpainter(path, HOST, "fp32", write_tokenizer(tmp_path / "larger", count=600))
    named = write_tokenizer(tmp_path / "elsewhere" / "tokenizer")
    assert load_inpainter(path, HOST, "fp32", spare_tokenizer=named).name == "model"
    assert load_inpainter(path, HOST, "fp32", named).name == "model"
    assert load_inpainter(path, HOST, "fp32", named.parent).name == "model"
    comfyui = tmp_path / "ComfyUI"
    (comfyui / "models").mkdir(parents=True)
    write_tokenizer(comfyui / "comfy" / "sd1_tokenizer")
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    assert load_inpainter(path, HOST, "fp32").name == "model"


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def pickled(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


def of_another_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxInpaintPipeline"}))


def of_flow(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    )


def with_other_channels(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"] = torch.zeros(32, 8, 3, 3)
    save_file(tensors, file)
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 8}))


def without_a_tensor(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["decoder.conv_in.weight"]
    save_file(tensors, file)


def saying(part: str, **values: Any) -> Callable[[Path], None]:
    """Puts other values into the configuration of a part."""

    def spoil(folder: Path) -> None:
        file = folder / part / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return spoil


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (saying("unet", up_block_types=["UpBlock2D"]), "unet is damaged.*its network cannot be built"),
        (saying("text_encoder", hidden_act="quick_gelt"), "text_encoder is damaged.*cannot be built .'quick_gelt'"),
        (holding("tokenizer/vocab.json", b'{"a": 1, "b'), r"vocab\.json cannot be read"),
        (holding("tokenizer/vocab.json", b"\xff\xfe"), r"vocab\.json cannot be read"),
        (holding("tokenizer/merges.txt", b"#version: 0.2\n\xff \xfe"), "The tokenizer in .* cannot be read"),
        (holding("tokenizer/vocab.json", b'{"<|endoftext|>": "no number"}'), r"vocab\.json is no list of CLIP's words"),
        (holding("tokenizer/vocab.json", b'{"a": 1}'), r"vocab\.json is no list of CLIP's words"),
        (holding("tokenizer/merges.txt", b"#version: 0.2\n<html> <p>\n"), r"merges\.txt is damaged .* line 2 joins no"),
        (holding("tokenizer/merges.txt", b"a b c\n"), r"merges\.txt is damaged .* line 1 joins no"),
        (without("unet/config.json"), r"unet/config\.json is missing"),
        (without("unet/diffusion_pytorch_model.safetensors"), "unet holds no .safetensors file"),
        (without("tokenizer/merges.txt"), r"tokenizer lacks merges\.txt"),
        (without("scheduler/scheduler_config.json"), r"scheduler_config\.json is missing"),
        (pickled, r"diffusion_pytorch_model\.bin and no .safetensors file.*may run code"),
        (of_another_pipeline, "holds a FluxInpaintPipeline, which is not supported"),
        (of_flow, "tiny: Its scheduler .FlowMatchEulerDiscreteScheduler"),
        (with_other_channels, "takes 8 channels"),
        (without_a_tensor, r"vae is damaged.*decoder\.conv_in\.weight is missing"),
        (lambda folder: (folder / "vae" / "config.json").write_text("{"), r"config\.json cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(folder: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(folder)
    with pytest.raises(WeightsError, match=f"(?s){words}"):
        load_inpainter(folder, HOST, "fp32")


def test_half_precision_files_and_old_names_of_a_vae_are_read(folder: Path) -> None:
    expected = read_folder(folder)
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(vae)
    for name in list(tensors):
        for new, other in old.items():
            if f".{new}." in name:
                tensors[name.replace(f".{new}.", f".{other}.")] = tensors.pop(name)
    save_file(tensors, vae)
    parts = read_folder(folder)
    assert same_tensors(parts.unet, expected.unet)
    assert same_tensors(parts.vae, expected.vae)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Name a diffusers folder or a \.safetensors file"):
        load_inpainter(tmp_path / "nothing", HOST)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds no model_index\.json"):
        load_inpainter(tmp_path / "empty", HOST)
    (tmp_path / "model.ckpt").write_bytes(b"\x80")
    (tmp_path / "model.safetensors").write_bytes(b"\x80")
    with pytest.raises(WeightsError, match=r"model\.safetensors is no safetensors file"):
        load_inpainter(tmp_path / "model.safetensors", HOST)
    with pytest.raises(WeightsError, match=r"model\.ckpt is no safetensors file"):
        load_inpainter(tmp_path / "model.ckpt", HOST)
    for name, words in (
        ("lora_unet_down.weight", "no whole checkpoint"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2 model.*diffusers folder"),
        ("conditioner.embedders.0.model.ln_final.weight", "SDXL refiner"),
    ):
        save_file({name: torch.zeros(1)}, tmp_path / "other.safetensors")
        with pytest.raises(WeightsError, match=words):
            load_inpainter(tmp_path / "other.safetensors", HOST)


def test_a_damaged_checkpoint_is_told_from_a_whole_one(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    path = write_checkpoint(tmp_path / "model.safetensors", make())
    tensors = load_file(path)
    del tensors["model.diffusion_model.middle_block.1.norm.weight"]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged.*missing"):
        load_inpainter(path, HOST, "fp32")
    del tensors["model.diffusion_model.input_blocks.0.0.weight"]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged"):
        load_inpainter(path, HOST, "fp32")


def test_loading_draws_no_random_numbers_and_leaves_logging_alone(made_folder: Path) -> None:
    import logging

    import diffusers
    import transformers

    libraries = [diffusers.utils.logging, transformers.utils.logging]
    before = torch.get_rng_state(), [library.get_verbosity() for library in libraries], logging.root.level
    load_inpainter(made_folder, HOST, "fp32")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert ([library.get_verbosity() for library in libraries], logging.root.level) == before[1:]


@pytest.mark.skipif(os.environ.get("VISAGE_SLOW") != "1", reason="VISAGE_SLOW=1: a checkpoint of 2 GB is made")
def test_a_checkpoint_of_the_real_size_runs_a_step(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "v1-5.safetensors", make(full=True), torch.float16)
    write_tokenizer(tmp_path / "tokenizer", count=49408)
    refiner = load_inpainter(path, HOST, "fp32")
    assert refiner.multiple == 64
    painted = repainted(refiner, a_crop(128, 128), Sampling(steps=1))
    assert painted.shape == (128, 128, 3)
    assert bool(painted.isfinite().all())
