"""A checkpoint of the size and layout of Stable Diffusion 1.5, with random weights, through the loader and the engine.
Started by ``test_refine_comfyui.py`` where ``VISAGE_SLOW=1``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from visage.faces.face import Face, Faces
from visage.faces.windows import WindowSettings
from visage.models.refiners import Sampling
from visage.pipeline import RefineSettings, refine
from visage.pipeline.refine_settings import PromptSettings
from visage.tests import comfy_diffusion, comfy_side


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("comfyui")
    comfy_side.begin(base)
    written = base / "models" / "checkpoints" / "full.safetensors"
    written.parent.mkdir(parents=True)
    save_file(comfy_diffusion.checkpoint(full=True), written)
    return written


def test_it_loads_and_runs_a_step(file: Path) -> None:
    from visage.nodes.host import ComfyHost
    from visage.nodes.refining import ComfyRefiner

    import nodes

    with torch.inference_mode():
        model, clip, vae = nodes.CheckpointLoaderSimple().load_checkpoint(file.name)
    assert sum(weight.numel() for weight in model.model.diffusion_model.parameters()) == 859_520_964
    frames = torch.rand(1, 256, 320, 3, generator=torch.Generator().manual_seed(1))
    faces = Faces(320, 256, ((Face((100, 60, 180, 160)),),))
    settings = RefineSettings(
        prompts=PromptSettings(prompt="a face, [PROMPT]"),
        sampling=Sampling(steps=1),
        window=WindowSettings(guide_size=100, crop_factor=2.0, max_size=256),
    )
    with torch.inference_mode():
        words = clip.encode_from_tokens_scheduled(clip.tokenize("natural skin"))
        engine = ComfyRefiner(vae, model, words, words, clip)
        assert engine.multiple == 8
        done = refine(frames, faces, engine, ComfyHost(), settings)
    assert torch.equal(done.frames[done.changed == 0], frames[done.changed == 0])
    assert not torch.equal(done.frames, frames)
    assert bool(done.crops[0].isfinite().all())


def test_its_names_are_those_of_the_published_checkpoint(file: Path) -> None:
    with safe_open(file, "pt") as weights:
        names = set(weights.keys())
    for part, count in (("model.diffusion_model.", 686), ("first_stage_model.", 248), ("cond_stage_model.", 196)):
        assert sum(name.startswith(part) for name in names) == count, part
    assert {
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.encoder.down.0.block.0.conv1.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc2.weight",
    } <= names
