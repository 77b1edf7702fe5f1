"""Load Diffusers Inpaint and Refine Faces (Diffusers), on the stand-in for ComfyUI or on a real one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.tests.tiny_diffusers import make, write_checkpoint, write_folder, write_tokenizer

FACE = Face((20.0, 20.0, 44.0, 44.0), 0.9)


@pytest.fixture(scope="module")
def nodes(pack: ModuleType) -> ModuleType:
    return pack.refine_diffusers


@pytest.fixture(scope="module")
def places(nodes: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with a model in diffusers format, one below another folder, a checkpoint and what is neither."""
    import folder_paths

    models = tmp_path_factory.mktemp("models")
    for name in ("diffusers", "checkpoints"):
        (models / name).mkdir()
        folder_paths.add_model_folder_path(name, str(models / name))
    write_folder(models / "diffusers" / "Tiny")
    write_folder(models / "diffusers" / "author" / "inpainting", "inpaint")
    (models / "diffusers" / "notes").mkdir()
    write_checkpoint(models / "checkpoints" / "small.safetensors", make())
    (models / "checkpoints" / "old.ckpt").write_bytes(b"\x80")
    write_tokenizer(models / "checkpoints" / "tokenizer")
    return models


@pytest.fixture(scope="module")
def inpainter(nodes: ModuleType, places: Path) -> Any:
    return loaded(nodes, "author/inpainting")


def loaded(nodes: ModuleType, name: str) -> Any:
    with torch.inference_mode():
        (model,) = nodes.LoadDiffusersInpaint.execute(name, "auto").result
    return model


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 64, 80, 3, generator=torch.Generator().manual_seed(3))


def settings(nodes: ModuleType, **more: Any) -> dict[str, Any]:
    """What the widgets say when nobody has touched them, but for a small crop and few steps."""
    schema = nodes.RefineFacesDiffusers.GET_SCHEMA()
    given = {one.id: one.default for one in schema.inputs if getattr(one, "default", None) is not None}
    return given | {"guide_size": 64, "max_size": 64, "crop_factor": 1.5, "steps": 2, "noise_feather": 4} | more


def test_models_are_found_in_both_places_and_nowhere_else(nodes: ModuleType, places: Path) -> None:
    (model, precision) = nodes.LoadDiffusersInpaint.define_schema().inputs
    mine = [name for name in model.options if name in {"author/inpainting", "Tiny", "small.safetensors"}]
    assert mine == ["author/inpainting", "Tiny", "small.safetensors"]
    assert not {"notes", "author", "old.ckpt"} & set(model.options)
    assert precision.default == "auto"
    assert nodes.LoadDiffusersInpaint.validate_inputs("Tiny") is True
    # From a link: checked when it is known, as below.
    assert nodes.LoadDiffusersInpaint.validate_inputs(None) is True
    for name in ("../diffusers/Tiny", str(places / "diffusers" / "Tiny"), "old.ckpt", ""):
        assert "no diffusion model called" in nodes.LoadDiffusersInpaint.validate_inputs(name)
        with pytest.raises(FileNotFoundError, match="models/checkpoints"):
            loaded(nodes, name)


def test_all_its_networks_are_known_to_comfyui(nodes: ModuleType, inpainter: Any) -> None:
    assert len(inpainter.get_models()) == 3
    assert inpainter.network.inpaints
    assert inpainter.patcher is inpainter.get_models()[0]


def test_a_face_is_repainted_and_the_rest_keeps_its_bits(nodes: ModuleType, inpainter: Any, image: Tensor) -> None:
    faces = Faces(80, 64, ((FACE,), ()))
    inputs = settings(nodes, prompt="a face", inpainter=inpainter, faces=faces)
    with torch.inference_mode():
        result, mask, crops, _ = nodes.RefineFacesDiffusers.execute(image=image, **inputs).result
        again, *_ = nodes.RefineFacesDiffusers.execute(image=image, **inputs).result
        other, *_ = nodes.RefineFacesDiffusers.execute(image=image, **inputs | {"prompt": "[PROMPT]"}).result
        empty, *_ = nodes.RefineFacesDiffusers.execute(image=image, **inputs | {"prompt": ""}).result
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert float((result - image)[0, 28:36, 28:36].abs().mean()) > 0.01
    assert torch.equal(result[1], image[1])
    assert len(crops) == 1
    assert torch.equal(again, result)
    assert not torch.equal(other, result)
    # The prompt is the text itself: there is no other one that a mark could stand for.
    assert torch.equal(other, empty)


def test_a_checkpoint_repaints_as_well(nodes: ModuleType, places: Path, image: Tensor) -> None:
    inputs = settings(nodes, inpainter=loaded(nodes, "small.safetensors"), faces=Faces(80, 64, ((FACE,), ())))
    with torch.inference_mode():
        result, *_ = nodes.RefineFacesDiffusers.execute(image=image, **inputs | {"steps": 1}).result
    assert not torch.equal(result[0], image[0])


@pytest.mark.parametrize("off", [{"strength": 0.0}, {"denoise": 0.0}, {"faces": Faces(80, 64, ((), ()))}])
def test_where_nothing_is_to_be_done_the_model_is_not_asked_for(
    nodes: ModuleType, image: Tensor, off: dict[str, Any]
) -> None:
    inputs = settings(nodes, inpainter=None, restorer=None, faces=Faces(80, 64, ((FACE,), ())))
    assert nodes.RefineFacesDiffusers.check_lazy_status(image=image, **inputs) == ["inpainter", "restorer"]
    assert nodes.RefineFacesDiffusers.check_lazy_status(image=image, **inputs | off) == []
    result, mask, _, _ = nodes.RefineFacesDiffusers.execute(image=image, **inputs | off).result
    assert result is image
    assert float(mask.max()) == 0


def test_something_must_find_the_faces(nodes: ModuleType) -> None:
    # Before a model is loaded, and by no input that is there and could be blamed.
    with pytest.raises(ValueError, match="connect a detector"):
        nodes.RefineFacesDiffusers.check_lazy_status(image=None, **settings(nodes, inpainter=None))
    assert "validate_inputs" not in vars(nodes.RefineFacesDiffusers)


def test_settings_are_those_of_refine_faces_in_the_same_order(nodes: ModuleType) -> None:
    from visage.nodes.refine import RefineFaces

    mine, graph = (
        [one.id for one in node.define_schema().inputs] for node in (nodes.RefineFacesDiffusers, RefineFaces)
    )
    shared = mine[mine.index("detector") : mine.index("compare_view")]
    assert graph[graph.index("detector") :][: len(shared)] == shared
