"""Loading restorers and upscalers: what is recognised, what is refused, and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import spandrel
import spandrel_extra_arches
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.LaMa import LaMa
from torch import Tensor
from visage.models.host import TorchHost
from visage.models.restorers import load_restorer
from visage.models.restorers.loading import load_network
from visage.models.upscaler import load_upscaler
from visage.models.weights import WeightsError
from visage.tests.parity import recipe

HOST = TorchHost("cpu", quiet=True)


@pytest.fixture(scope="module")
def small() -> dict[str, Tensor]:
    """The tensors of a small upscaler of the Real-ESRGAN kind."""
    shapes = {
        name: tuple(value.shape) for name, value in Compact(num_feat=8, num_conv=2, upscale=2).state_dict().items()
    }
    return recipe.weights(shapes, 3, {"body.6.weight": 0.1})


@pytest.mark.parametrize("wrapper", ["params_ema", "params", "state_dict", None])
def test_files_of_any_name_and_wrapping_give_the_same_network(
    tmp_path: Path, small: dict[str, Tensor], wrapper: str | None
) -> None:
    save_file(small, tmp_path / "reference.safetensors")
    torch.save({wrapper: small} if wrapper else small, tmp_path / "GFPGANv1.4.pth")
    crop = recipe.crop(1)[..., :128, :128]
    expected = load_restorer(tmp_path / "reference.safetensors", HOST)
    found = load_restorer(tmp_path / "GFPGANv1.4.pth", HOST)
    assert (found.name, found.architecture, found.scale) == ("GFPGANv1.4", "Compact", 2)
    assert torch.equal(found.restore(crop), expected.restore(crop))


def test_half_precision_files_are_run_in_fp32(tmp_path: Path, small: dict[str, Tensor]) -> None:
    torch.save({name: value.half() for name, value in small.items()}, tmp_path / "half.pth")
    module = load_network(tmp_path / "half.pth").module
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_loading_leaves_the_global_generator_alone(tmp_path: Path, small: dict[str, Tensor]) -> None:
    torch.save(small, tmp_path / "small.pth")
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    load_restorer(tmp_path / "small.pth", HOST)
    assert torch.equal(torch.rand(4), expected)


def test_spandrels_own_registry_is_left_alone(
    tmp_path: Path, small: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(small, tmp_path / "small.pth")
    bare = spandrel.ArchRegistry()
    bare.add(*(arch for arch in spandrel.MAIN_REGISTRY if arch.architecture.id != "CodeFormer"))
    monkeypatch.setattr(spandrel, "MAIN_REGISTRY", bare)
    load_network(tmp_path / "small.pth")
    assert "CodeFormer" not in bare
    # ComfyUI puts the extra architectures into it.
    bare.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    count = len(bare)
    load_network(tmp_path / "small.pth")
    assert len(bare) == count


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_restorer(path, HOST)
    message = str(caught.value)
    assert path.name in message
    with pytest.raises(WeightsError):
        load_upscaler(path, HOST)
    return message


def test_missing_empty_and_folder(tmp_path: Path) -> None:
    assert "visage models get" in refusal(tmp_path / "gone.pth")
    (tmp_path / "empty.pth").touch()
    assert "empty" in refusal(tmp_path / "empty.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "folder" in refusal(tmp_path / "folder.pth")


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated(tmp_path: Path, small: dict[str, Tensor], ending: str, kept: float) -> None:
    path = tmp_path / f"cut.{ending}"
    if ending == "pth":
        torch.save(small, path)
    else:
        save_file(small, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "cut short" in refusal(path)


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_hostile_files_are_refused_and_nothing_runs(tmp_path: Path, small: dict[str, Tensor]) -> None:
    mark = tmp_path / "mark"
    torch.save({"params_ema": small, "extra": Attack(mark)}, tmp_path / "evil.pth")
    assert "Nothing was run" in refusal(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("conv_body_first.0.weight", "final_linear.weight", "toRGB.0.weight"), 'first GFPGAN.*Get GFPGANv1.4.pth'),
        (("BboxHead.0.conv1x1.weight", "LandmarkHead.0.conv1x1.weight"), "RetinaFace detector"),
        (("convs.1.conv2.0.kernel", "final_conv.0.weight", "other"), "discriminator.*Get GPEN-BFR-512.pth"),
        (("ecd0.0.0.weight", "generator.convs.0.conv.weight", "final_linear.0.weight"), "do not fit"),
        (("some.weight", "other.bias"), "no restorer or upscaler that Visage knows.*some.weight"),
        (("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"), "do not fit"),
    ],
)  # fmt: skip
def test_other_networks_are_refused_by_what_they_are(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    torch.save({name: torch.zeros(4, 4, 1, 1) for name in names}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=f"other.pth.*{words}"):
        load_restorer(tmp_path / "other.pth", HOST)


def test_networks_of_other_channels_and_with_masks_are_refused(tmp_path: Path) -> None:
    torch.save(DnCNN(in_nc=1, out_nc=1).state_dict(), tmp_path / "grey.pth")
    assert "1 channels from 1" in refusal(tmp_path / "grey.pth")
    torch.save(LaMa().state_dict(), tmp_path / "holes.pth")
    assert "mask" in refusal(tmp_path / "holes.pth")


def test_files_of_the_wrong_kind(tmp_path: Path, data: Path) -> None:
    assert "YOLO" in refusal(data / "weights" / "yolov8n-face.pt")
    assert "RetinaFace" in refusal(data / "weights" / "detection_mobilenet0.25_Final.pth")
    assert "ONNX" in refusal(data / "weights" / "face_detection_yunet_2023mar.onnx")
