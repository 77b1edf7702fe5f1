"""Refine Faces, on the stand-in for ComfyUI or on a real one, with a pretended model. What samples is tested in
``tests/comfyui_refine.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.fields import settings_of
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import RefineSettings
from visage.tests.comfy_models import LEFT_FACE, detector_of, restorer_of
from visage.tests.node_sockets import loaded

SOCKETS = ("model", "vae", "positive", "negative")


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    """Two pictures of 160 x 128 pixels."""
    return torch.rand(2, 128, 160, 3, generator=generator)


@pytest.fixture
def faces() -> Faces:
    return Faces(160, 128, ((Face((20, 30, 60, 80), index=0), Face((90, 30, 130, 80), index=1)), ()))


@pytest.fixture
def node(pack: ModuleType) -> Callable[..., dict[str, Any]]:
    """The inputs of the node: its defaults, and what is connected. ``None`` is connected but not there yet."""

    def inputs(**given: Any) -> dict[str, Any]:
        schema = pack.RefineFaces.GET_SCHEMA()
        defaults = {
            socket.id: socket.default for socket in schema.inputs if getattr(socket, "default", None) is not None
        }
        return defaults | dict.fromkeys(SOCKETS) | {"guide_size": 64, "steps": 2} | given

    return inputs


class Negative:
    """A refiner that gives the negative of a crop and remembers what it was asked for."""

    name, multiple = "pretended", 8
    knows_levels = False

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.works: list[tuple[Repaint, Sampling]] = []

    def steps(self, sampling: Sampling) -> int:
        return sampling.steps

    def repaint(self, work: Repaint, sampling: Sampling, progress: Any) -> Tensor:
        self.works.append((work, sampling))
        progress.advance(sampling.steps)
        return 1 - work.pixels


@pytest.fixture
def engines(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Negative]:
    """The engines that the node makes."""
    import visage.nodes.refine

    made: list[Negative] = []
    monkeypatch.setattr(visage.nodes.refine, "ComfyRefiner", lambda **given: made.append(Negative(**given)) or made[-1])
    return made


def a_detector(*boxes: Any) -> Any:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return loaded(detector_of(host, boxes), host)


def blocked(output: Any) -> bool:
    from comfy_execution.graph_utils import ExecutionBlocker

    return isinstance(output, ExecutionBlocker) and output.message is None


def test_widgets_are_the_settings_in_their_order(pack: ModuleType) -> None:
    sockets = pack.RefineFaces.GET_SCHEMA().inputs
    widgets = {socket.id: socket for socket in sockets if getattr(socket, "default", None) is not None}
    settings = list(settings_of(RefineSettings))
    assert list(widgets) == [setting.name for setting in settings] + ["confidence"]
    for setting in settings:
        widget = widgets[setting.name]
        assert (widget.default, widget.tooltip, bool(widget.advanced)) == (
            setting.default,
            setting.help,
            setting.advanced,
        )
        if setting.kind in (int, float):
            assert (widget.min, widget.max, widget.step) == (setting.low, setting.high, setting.step)
        if setting.choices:
            assert tuple(widget.options) == setting.choices
    assert widgets["seed"].control_after_generate
    assert widgets["prompt"].multiline
    assert {"euler", "dpmpp_2m"} <= set(widgets["sampler"].options)
    assert {"normal", "karras"} <= set(widgets["scheduler"].options)
    assert sum(not setting.advanced for setting in settings) <= 12
    assert len({socket.id for socket in sockets}) == len(sockets)


def test_refined_faces_change_and_nothing_else_does(
    pack: ModuleType, image: Tensor, faces: Faces, node: Any, engines: list[Negative]
) -> None:
    given = node(faces=faces, model="the model", clip="the clip", seed=5, denoise=0.3, sampler="dpmpp_2m", cycles=3)
    refined, mask, crops, _ = pack.RefineFaces.execute(image, **given).result
    assert torch.equal(refined[mask == 0], image[mask == 0])
    assert torch.equal(refined[1], image[1])
    assert bool((mask[0, 50:60, 35:45] == 1).all())
    assert float((refined - image)[0, 50:60, 35:45].abs().mean()) > 0.1
    (engine,) = engines
    assert (engine.given["model"], engine.given["clip"], engine.given["guider"]) == ("the model", "the clip", None)
    assert [tuple(crop.shape) for crop in crops] == [(1, *work.mask.shape, 3) for work, _ in engine.works[2::3]]
    assert {(how.sampler, how.steps) for _, how in engine.works} == {("dpmpp_2m", 2)}
    assert [work.denoise for work, _ in engine.works] == [0.3] * 6
    assert [work.seed for work, _ in engine.works[::3]] == [5, 6]


@pytest.mark.parametrize("reason", ["strength", "denoise", "no face", "all too small", "skipped"])
def test_the_very_image_passes_through_where_nothing_is_done(
    pack: ModuleType, image: Tensor, faces: Faces, node: Any, engines: list[Negative], reason: str
) -> None:
    changes = {
        "strength": {"strength": 0.0},
        "denoise": {"denoise": 0.0},
        "no face": {"faces": faces.with_frames([(), ()])},
        "all too small": {"min_face": 500},
        "skipped": {"prompt": "[SKIP]"},
    }[reason]
    refined, mask, crops, _ = pack.RefineFaces.execute(image, **node(**{"faces": faces} | changes)).result
    assert refined is image
    assert mask.shape == image.shape[:3]
    assert not mask.any()
    assert blocked(crops)
    assert not any(engine.works for engine in engines)


def test_a_detector_finds_the_faces_where_none_are_connected(
    pack: ModuleType, image: Tensor, node: Any, engines: list[Negative]
) -> None:
    _, mask, crops, _ = pack.RefineFaces.execute(image, **node(detector=a_detector(LEFT_FACE))).result
    assert len(crops) == 2
    assert bool((mask[:, 64, 40] == 1).all())
    assert not mask[:, :, 120:].any()
    nobody = pack.RefineFaces.execute(image, **node(detector=a_detector())).result
    assert nobody[0] is image
    with pytest.raises(ValueError, match="connect a detector"):
        pack.RefineFaces.execute(image, **node())


def test_faces_must_be_found_in_some_way(pack: ModuleType, node: Any) -> None:
    # No input that is there is blamed, and no model is loaded.
    assert "validate_inputs" not in vars(pack.RefineFaces)
    with pytest.raises(ValueError, match="connect a detector"):
        pack.RefineFaces.check_lazy_status(image=None, **node())


def test_nothing_is_evaluated_that_is_not_needed(pack: ModuleType, faces: Faces, node: Any) -> None:
    def wanted(**given: Any) -> set[str]:
        first, then = (pack.RefineFaces.check_lazy_status(image=image, **node(**given)) for image in (None, "there"))
        # What is not connected is told before anything makes the image.
        assert first == ["image"]
        return set(then)

    nobody = faces.with_frames([(), ()])
    assert wanted(faces=None, clip=None) == {"faces"}
    assert wanted(faces=nobody, clip=None, prompt="old") == set()
    assert wanted(faces=faces, strength=0.0) == set()
    assert wanted(faces=None, denoise=0.0) == set()
    assert wanted(faces=faces, denoise=0.0, sigmas=None) == {*SOCKETS, "sigmas"}
    assert wanted(faces=faces, clip=None, detector=None) == set(SOCKETS)
    assert wanted(faces=faces, clip=None, prompt="old") == {*SOCKETS, "clip"}
    assert wanted(faces=faces, clip=None, negative_prompt="old") == {*SOCKETS, "clip"}
    assert wanted(faces=faces, prompt="old") == set(SOCKETS)
    assert wanted(faces=faces, guider=None, sigmas=None) == {"vae", "guider", "sigmas"}
    assert wanted(faces=faces, restorer=None, sampler_object=None) == {*SOCKETS, "restorer", "sampler_object"}
    assert wanted(detector=None) == {*SOCKETS, "detector"}
    assert wanted(faces=faces, **dict.fromkeys(SOCKETS, "there")) == set()


def test_changes_stay_within_the_mask(
    pack: ModuleType, image: Tensor, faces: Faces, node: Any, engines: list[Negative]
) -> None:
    left_half = torch.zeros(1, 128, 160)
    left_half[:, :, :40] = 1
    _, mask, _, _ = pack.RefineFaces.execute(image, **node(faces=faces, mask=left_half)).result
    assert bool(mask[0, :, :40].any())
    # The mask is read in the pixels of the crop: its edge is as soft as that makes it.
    assert not mask[:, :, 42:].any()
    _, everywhere, _, _ = pack.RefineFaces.execute(image, **node(faces=faces, mask=torch.zeros(1, 64, 64))).result
    assert bool(everywhere[0, :, 40:].any())


def test_a_restorer_works_on_the_same_faces(
    pack: ModuleType, image: Tensor, faces: Faces, node: Any, engines: list[Negative]
) -> None:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    network, module = restorer_of(host)
    pack.RefineFaces.execute(image, **node(faces=faces, restorer=loaded(network, host)))
    assert module.calls > 0
    seen = engines[0].works[0][0].pixels
    plain = pack.RefineFaces.execute(image, **node(faces=faces))
    assert plain.result[0].shape == image.shape
    assert not torch.equal(seen, engines[1].works[0][0].pixels)


def test_words_are_drawn_from_the_folder_of_wildcards(
    pack: ModuleType, image: Tensor, faces: Faces, node: Any, engines: list[Negative]
) -> None:
    from visage.nodes import folders

    (folder,) = folders.wildcard_folders()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "age.txt").write_text("old\n", encoding="utf-8")
    pack.RefineFaces.execute(image, **node(faces=faces, prompt="__age__ [SEP] {young|young}"))
    assert [work.prompt for work, _ in engines[0].works] == ["old", "young"]
