from __future__ import annotations

from pathlib import Path

import pytest
from visage.models import builtin
from visage.models.catalogue import Kind, by_name
from visage.models.locations import available, cache_folder, find_weights, folder_for, search_folders


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a ComfyUI in the place of comfy-cli and an empty cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData" / "Local"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    (tmp_path / "comfy" / "ComfyUI" / "models").mkdir(parents=True)
    return tmp_path


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"weights")
    return folder


def models(machine: Path) -> Path:
    return machine / "comfy" / "ComfyUI" / "models"


def test_comfyui_comes_before_the_cache_and_named_folders_before_both(machine: Path) -> None:
    extra = machine / "mine"
    folders = search_folders("restorer", [extra])
    assert folders[0] == extra
    assert folders.index(models(machine) / "facerestore_models") < folders.index(cache_folder() / "restorers")
    assert folders[-2:] == [cache_folder() / "restorers", builtin.FOLDER]


def test_comfyui_path_is_honoured(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = machine / "elsewhere"
    (other / "models").mkdir(parents=True)
    monkeypatch.setenv("COMFYUI_PATH", str(other))
    assert other / "models" / "facedetection" in search_folders("detector")
    assert not any("comfy" in folder.parts for folder in search_folders("detector"))


def test_without_comfyui_only_the_cache_is_searched(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(machine / "nowhere"))
    assert search_folders("upscaler") == [cache_folder() / "upscalers"]


@pytest.mark.skipif("sys.platform == 'win32'")
def test_xdg_cache_home_is_honoured(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == machine / ".cache" / "visage"
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "xdg"))
    assert cache_folder() == machine / "xdg" / "visage"


def test_localappdata_is_honoured_on_windows(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert cache_folder() == machine / "AppData" / "Local" / "visage"


def test_an_existing_path_wins_whatever_it_is_called(machine: Path) -> None:
    put(models(machine), "facedetection/yunet.onnx")
    path = put(machine, "my.weights") / "my.weights"
    assert find_weights(path, "detector") == path
    assert find_weights(str(path), "detector") == path


@pytest.mark.parametrize(
    "wanted",
    ["GFPGANv1.4.pth", "GFPGANv1.4", "gfpganv1.4", "gfpgan-1.4", "GFPGAN-1.4"],
)
def test_names_lead_to_the_file(machine: Path, wanted: str) -> None:
    folder = put(models(machine) / "facerestore_models", "GFPGANv1.4.pth", "GFPGANv1.3.pth")
    assert find_weights(wanted, "restorer") == folder / "GFPGANv1.4.pth"


def test_aliases_of_the_catalogue_are_tried(machine: Path) -> None:
    folder = put(models(machine) / "facerestore_models", "codeformer.pth")
    assert find_weights("codeformer", "restorer") == folder / "codeformer.pth"
    put(folder, "codeformer-v0.1.0.pth")
    (folder / "codeformer.pth").unlink()
    assert find_weights("codeformer", "restorer") == folder / "codeformer-v0.1.0.pth"


def test_safetensors_win_where_the_suffix_is_open(machine: Path) -> None:
    folder = put(models(machine) / "facerestore_models", "GFPGANv1.4.pth", "GFPGANv1.4.safetensors")
    assert find_weights("gfpgan-1.4", "restorer") == folder / "GFPGANv1.4.safetensors"
    assert find_weights("GFPGANv1.4.pth", "restorer") == folder / "GFPGANv1.4.pth"


def test_impact_style_names_are_found(machine: Path) -> None:
    put(models(machine), "ultralytics/bbox/face_yolov8m.pt")
    expected = models(machine) / "ultralytics" / "bbox" / "face_yolov8m.pt"
    for wanted in ("bbox/face_yolov8m.pt", "face_yolov8m.pt", "face-yolov8m"):
        assert find_weights(wanted, "detector") == expected


def test_what_comfyui_downloads_is_found(machine: Path) -> None:
    folder = put(models(machine), "ultralytics_bbox/face_yolov8n.pt", "ultralytics_segm/person_yolov8n-seg.pt")
    assert find_weights("face-yolov8n", "detector") == folder / "ultralytics_bbox" / "face_yolov8n.pt"
    assert find_weights("person-yolov8n-seg", "detector") == folder / "ultralytics_segm" / "person_yolov8n-seg.pt"


def test_a_named_folder_may_be_flat_or_laid_out_as_comfyui(machine: Path) -> None:
    flat = put(machine / "flat", "a.pth")
    laid_out = put(machine / "laid-out", "facerestore_models/b.pth")
    assert find_weights("a", "restorer", [flat, laid_out]) == flat / "a.pth"
    assert find_weights("b", "restorer", [flat, laid_out]) == laid_out / "facerestore_models" / "b.pth"


def test_available_keeps_to_the_kind(machine: Path) -> None:
    put(models(machine) / "facedetection", "detection_Resnet50_Final.pth", "parsing_parsenet.pth", "notes.txt", ".x.pt")
    put(models(machine) / "upscale_models", "RealESRGAN_x4plus.pth", "GFPGANv1.4.pth")
    names = {kind: [path.name for path in available(kind)] for kind in ("detector", "parser", "restorer", "upscaler")}
    assert names == {
        "detector": ["detection_Resnet50_Final.pth", "visage-detect.safetensors"],
        "parser": ["parsing_parsenet.pth"],
        "restorer": ["GFPGANv1.4.pth", "RealESRGAN_x4plus.pth", "visage-restore.safetensors"],
        "upscaler": ["RealESRGAN_x4plus.pth"],
    }


def test_missing_weights_tell_how_to_get_them(machine: Path) -> None:
    put(models(machine) / "facerestore_models", "other.pth")
    with pytest.raises(FileNotFoundError) as failure:
        find_weights("GFPGANv1.4.pth", "restorer")
    message = str(failure.value)
    assert "visage models get gfpgan-1.4" in message
    assert "There is: other.pth" in message
    assert str(models(machine) / "facerestore_models") in message
    assert "face_restore (does not exist)" in message


def test_a_misspelt_name_is_recognised(machine: Path) -> None:
    put(cache_folder() / "restorers", "my-own-restorer.pth")
    with pytest.raises(FileNotFoundError, match=r"Did you mean my-own-restorer\.pth"):
        find_weights("my-own-restorr.pth", "restorer")
    with pytest.raises(FileNotFoundError, match="codeformer"):
        find_weights("codefromer", "restorer")


def test_a_misspelt_name_is_recognised_in_any_case_and_without_its_suffix(machine: Path) -> None:
    put(cache_folder() / "restorers", "My-Own-Restorer.safetensors")
    with pytest.raises(FileNotFoundError, match=r"Did you mean My-Own-Restorer\.safetensors"):
        find_weights("MYOWNRESTORER", "restorer")


def test_the_stem_of_a_known_file_tells_how_to_get_it(machine: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"visage models get gfpgan-1\.4"):
        find_weights("gfpganV1.4", "restorer")


@pytest.mark.parametrize(
    ("wanted", "kind", "words"),
    [
        ("realesr-general-x4v3", "parser", "an upscaler: use it as --upscaler or --restorer."),
        ("GFPGANv1.4.pth", "detector", "a restorer: use it as --restorer."),
        ("parsing_bisenet", "embedder", "a parser: use it as --parser."),
    ],
)
def test_weights_of_another_kind_say_what_they_are_for(machine: Path, wanted: str, kind: Kind, words: str) -> None:
    put(models(machine) / "upscale_models", "realesr-general-x4v3.pth")
    with pytest.raises(FileNotFoundError) as failure:
        find_weights(wanted, kind)
    assert str(failure.value).endswith(f" is {words}")


def test_empty_and_missing_folders_are_told_apart(machine: Path) -> None:
    (models(machine) / "upscale_models").mkdir()
    with pytest.raises(FileNotFoundError) as failure:
        find_weights("x", "upscaler", [machine / "typo"])
    assert "typo (does not exist)" in str(failure.value)
    assert "upscale_models (empty)" in str(failure.value)


def test_a_folder_is_no_weight_file(machine: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        find_weights(machine, "detector")


def test_somebody_without_a_home_folder_has_what_comes_with_visage(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    for name in ("COMFYUI_PATH", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert find_weights(builtin.DETECTOR, "detector").parent == builtin.FOLDER
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_weights("x", "upscaler")


def test_downloads_go_to_comfyui_where_there_is_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = by_name("gfpgan-1.4")
    assert known is not None
    assert folder_for(known) == models(machine) / "facerestore_models"
    monkeypatch.setenv("COMFYUI_PATH", str(machine / "nowhere"))
    assert folder_for(known) == cache_folder() / "restorers"
