"""The nodes that load models, and the folders they look into, on the stand-in for ComfyUI or on a real one (see
``tests/comfy_side.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from visage.tests.node_sockets import DEFAULTS, DETECTION, a_restorer, loaded, same


def test_a_parser_file_becomes_a_parser_under_the_care_of_comfyui(pack: ModuleType, base: Path) -> None:
    from visage.models.parsers.loading import ARCHITECTURES

    bisenet = next(kind for kind in ARCHITECTURES if kind.name == "BiSeNet")
    file = base / "models/facedetection/mine.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(bisenet.build().state_dict(), file)
    try:
        parser = pack.LoadFaceParser.execute("mine.pth", "fp32")[0]
        assert pack.LoadFaceParser.validate_inputs("mine.pth") is True
    finally:
        file.unlink()
    assert parser.network.architecture == "BiSeNet"
    assert len(parser.get_models()) == 1


def test_networks_are_under_the_care_of_comfyui(pack: ModuleType) -> None:
    import comfy.model_patcher

    restorer = a_restorer()
    (patcher,) = restorer.get_models()
    assert isinstance(patcher, comfy.model_patcher.CoreModelPatcher)
    assert restorer.patcher is patcher
    assert patcher.model.weight.dtype == torch.float32
    assert restorer.is_dynamic() is False


def test_a_network_outside_torch_has_no_patcher(pack: ModuleType) -> None:
    from visage.nodes.host import ComfyHost

    model = loaded(object(), ComfyHost())
    assert (model.patcher, model.get_models(), model.is_dynamic()) == (None, [], False)


def test_the_patcher_class_is_looked_up_when_it_is_needed(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_patcher

    exchanged = type("Exchanged", (comfy.model_patcher.ModelPatcher,), {"is_dynamic": lambda self: True})
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", exchanged)
    assert a_restorer().is_dynamic() is True


@pytest.fixture
def models(pack: ModuleType, base: Path) -> Iterator[Path]:
    """The models folder of ComfyUI with a few files in it, of which only the names matter."""
    files = [
        base / "models" / name
        for name in (
            "ultralytics/bbox/face_yolov8m.pt",
            "ultralytics_bbox/downloaded.pt",
            "ultralytics/segm/deeper/person-seg.pt",
            "facedetection/detection_Resnet50_Final.pth",
            "facedetection/face_detection_yunet_2023mar.onnx",
            "facedetection/parsing_parsenet.pth",
            "facerestore_models/codeformer-v0.1.0.pth",
            "facerestore_models/GFPGANv1.4.pth",
            "upscale_models/4x_mine.safetensors",
            "upscale_models/readme.txt",
        )
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    yield base / "models"
    for file in files:
        file.unlink()


def choices(node: Any) -> Any:
    return next(socket for socket in node.GET_SCHEMA().inputs if socket.id == "model_name")


def test_files_are_offered_by_their_names_and_only_those_that_fit(pack: ModuleType, models: Path) -> None:
    assert choices(pack.LoadFaceDetector).options == [
        "deeper/person-seg.pt",
        "detection_Resnet50_Final.pth",
        "downloaded.pt",
        "face_detection_yunet_2023mar.onnx",
        "face_yolov8m.pt",
        "visage-detect.safetensors",
    ]
    assert choices(pack.LoadFaceDetector).default == "visage-detect.safetensors"
    restorers = choices(pack.LoadFaceRestorer)
    assert restorers.options == [
        "4x_mine.safetensors",
        "codeformer-v0.1.0.pth",
        "GFPGANv1.4.pth",
        "visage-restore.safetensors",
    ]
    assert restorers.default == "visage-restore.safetensors"
    assert "codeformer-v0.1.0.pth: S-Lab 1.0, non-commercial" in restorers.tooltip
    parsers = choices(pack.LoadFaceParser)
    assert parsers.options == ["parsing_parsenet.pth"]
    assert parsers.default == "parsing_parsenet.pth"
    assert "parsing_parsenet.pth: MIT" in parsers.tooltip


def test_without_files_the_tooltip_and_the_error_say_which_to_put_where(pack: ModuleType) -> None:
    for node, advice in (
        (pack.LoadFaceDetector, "models/ultralytics/bbox"),
        (pack.LoadFaceRestorer, "GFPGANv1.4.pth"),
        (pack.LoadFaceParser, "parsing_bisenet.pth"),
    ):
        assert all(name.startswith("visage-") for name in choices(node).options)
        assert advice in choices(node).tooltip
        assert advice in node.validate_inputs(model_name="something.pt")
    assert choices(pack.LoadFaceParser).options == []
    assert choices(pack.LoadFaceParser).tooltip.startswith("No face parser found.")
    with pytest.raises(FileNotFoundError, match="There is no face detector called"):
        pack.LoadFaceDetector.execute("something.pt")


@pytest.mark.parametrize("name", ["../../secret.pt", "/etc/passwd", "", "facedetection/detection_Resnet50_Final.pth"])
def test_only_names_of_the_list_are_taken(pack: ModuleType, models: Path, name: str) -> None:
    (models.parent / "secret.pt").touch()
    assert "There is no face detector called" in pack.LoadFaceDetector.validate_inputs(model_name=name)
    with pytest.raises(FileNotFoundError):
        pack.LoadFaceDetector.execute(name)
    assert pack.LoadFaceDetector.validate_inputs(model_name="face_yolov8m.pt") is True


@pytest.mark.parametrize("kind", ["Detector", "Restorer", "Parser", "Embedder"])
def test_a_name_from_a_link_is_checked_when_it_is_known(pack: ModuleType, kind: str) -> None:
    node = getattr(pack, f"LoadFace{kind}")
    assert node.validate_inputs(model_name=None) is True
    more = [] if kind in {"Detector", "Embedder"} else ["fp32"]
    with pytest.raises(FileNotFoundError, match=f"There is no face {kind.lower()} called 'linked.pt'"):
        node.execute("linked.pt", *more)


def test_folders_of_others_keep_their_places_and_suffixes(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths
    from visage.nodes import folders

    theirs = {"ultralytics_bbox": (["/theirs"], {".pt"}), "facedetection": (["/theirs"], set())}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", theirs)
    folders.register()
    places, suffixes = theirs["ultralytics_bbox"]
    assert places[0] == "/theirs"
    assert len(places) == 3
    assert suffixes == {".pt"}
    assert ".onnx" in theirs["facedetection"][1]


@pytest.mark.parametrize("models", ["DETECTORS", "RESTORERS", "PARSERS", "EMBEDDERS"])
def test_the_command_line_looks_where_comfyui_does(
    pack: ModuleType, base: Path, monkeypatch: pytest.MonkeyPatch, models: str
) -> None:
    import folder_paths
    from visage.models.locations import search_folders
    from visage.nodes import folders

    registered: dict[str, tuple[list[str], set[str]]] = {}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", registered)
    folders.register()
    wanted = getattr(folders, models)
    there = [Path(place) for key in wanted.keys for place in registered[key][0]]
    (base / "models").mkdir(exist_ok=True)
    monkeypatch.setenv("COMFYUI_PATH", str(base))
    below = [folder for folder in search_folders(wanted.kind) if base in folder.parents]
    # From here names of the Impact Pack begin; ComfyUI would list what is in the folders below it twice.
    above = [base / "models" / "ultralytics"] if models == "DETECTORS" else []
    assert below == [*(folder for folder in there if base in folder.parents), *above]
    assert len(below) >= 1


def test_real_models_restore_a_real_face(pack: ModuleType, base: Path, data: Path) -> None:
    from PIL import Image

    detector, restorer = base / "models/ultralytics/bbox/real.pt", base / "models/upscale_models/real.pth"
    for link, file in ((detector, "yolov8n-face.pt"), (restorer, "realesr-general-x4v3.pth")):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(data / "weights" / file)
    photograph = sorted((data / "photos/synthetic_1024").iterdir())[0]
    import numpy as np

    pixels = np.asarray(Image.open(photograph).convert("RGB").resize((256, 256)), dtype=np.float32) / 255
    picture = torch.from_numpy(pixels)[None]
    try:
        models = {
            "detector": pack.LoadFaceDetector.execute("real.pt")[0],
            "restorer": pack.LoadFaceRestorer.execute("real.pth", "fp32")[0],
        }
    finally:
        detector.unlink()
        restorer.unlink()
    with torch.inference_mode():
        faces, _, _, count = pack.DetectFaces.execute(picture, models["detector"], **DETECTION).result
        restored, mask, _ = pack.RestoreFaces.execute(picture, **DEFAULTS, **models).result
    assert count == 1
    assert faces.frames[0][0].landmarks is not None
    assert float((restored - picture).abs()[mask > 0.5].mean()) > 0.001
    assert same(restored[mask == 0], picture[mask == 0])
    assert len(models["detector"].get_models()) == len(models["restorer"].get_models()) == 1


def test_what_is_built_in_is_the_default_and_does_the_job(pack: ModuleType) -> None:
    from skimage.data import astronaut
    from visage.nodes import folders

    assert folders.default(folders.DETECTORS) == "visage-detect.safetensors"
    assert folders.default(folders.RESTORERS) == "visage-restore.safetensors"
    assert "visage-detect.safetensors" not in folders.names(folders.RESTORERS)
    picture = torch.from_numpy(astronaut()[:256, 96:352])[None] / 255
    models = {
        "detector": pack.LoadFaceDetector.execute("visage-detect.safetensors")[0],
        "restorer": pack.LoadFaceRestorer.execute("visage-restore.safetensors", "fp32")[0],
    }
    with torch.inference_mode():
        restored, mask, _ = pack.RestoreFaces.execute(picture, **DEFAULTS, **models).result
    assert float(mask.max()) == 1
    assert not same(restored, picture)
    assert same(restored[mask == 0], picture[mask == 0])
