"""Face parsers: parity with facexlib's own use of its networks, batches, failures, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from visage.faces.regions import FACE_REGIONS, REGIONS, region_mask
from visage.models.host import TorchHost
from visage.models.inference import AtOnce, InvalidOutputError
from visage.models.parsers import Parser, load_parser
from visage.models.parsers import parser as parser_module
from visage.models.parsers.loading import ARCHITECTURES, Architecture
from visage.models.weights import WeightsError
from visage.tests.parity import recipe
from visage.tests.parser_models import bright_is_skin, parser_of

HOST = TorchHost("cpu", quiet=True)
# Both take pictures of any size, and small ones cost less time.
SIDES = {"ParseNet": 64, "BiSeNet": 256}


def random_weights(kind: Architecture) -> dict[str, Tensor]:
    """Weights with which every part of the network acts, as its authors store them."""
    tensors = kind.build().state_dict()
    numbers = recipe.weights({name: list(value.shape) for name, value in tensors.items()}, 3, {})
    for name in numbers:
        if name.endswith("running_mean"):
            numbers[name] -= 1
        if name.endswith("num_batches_tracked"):
            numbers[name] = torch.tensor(7)
    return numbers


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parsers")
    for kind in ARCHITECTURES:
        torch.save(random_weights(kind), folder / f"parsing_{kind.name.lower()}.pth")
    return {kind.name: folder / f"parsing_{kind.name.lower()}.pth" for kind in ARCHITECTURES}


@pytest.fixture
def several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the CPU take batches, as other devices do."""
    monkeypatch.setattr(parser_module, "_AT_ONCE", AtOnce(cpu=8, elsewhere=8))


def picture(side: int) -> np.ndarray:
    """A picture in OpenCV's way: BGR levels."""
    levels = (recipe.crop(3)[0].permute(1, 2, 0).numpy()[..., ::-1] * 255).round().astype(np.uint8)
    return levels[:side, :side].copy()


def crop_of(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255


# Where facexlib's numbers of the regions are those of ours, by name; written down again from its sources.
FACEXLIB = {
    "ParseNet": (
        "background skin nose glasses left_eye right_eye left_brow right_brow left_ear right_ear mouth upper_lip "
        "lower_lip hair hat earring necklace neck cloth"
    ),
    "BiSeNet": (
        "background skin left_brow right_brow left_eye right_eye glasses left_ear right_ear earring nose mouth "
        "upper_lip lower_lip neck necklace cloth hair hat"
    ),
}


@pytest.mark.parametrize("name", ["ParseNet", "BiSeNet"])
def test_regions_and_paste_mask_are_facexlibs(
    files: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facexlib.utils import img2tensor
    from torchvision.transforms.functional import normalize

    side = SIDES[name]
    levels = picture(side)
    kind = next(kind for kind in ARCHITECTURES if kind.name == name)
    network = kind.build().eval()
    network.load_state_dict(torch.load(files[name], weights_only=True))
    # As in facexlib's FaceRestoreHelper (ParseNet), and as BiSeNet is used with ImageNet's statistics.
    given = img2tensor(levels.astype("float32") / 255.0, bgr2rgb=True, float32=True)
    statistics = {"ParseNet": ((0.5,) * 3, (0.5,) * 3), "BiSeNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
    normalize(given, *statistics[name], inplace=True)
    with torch.no_grad():
        theirs = network(given[None])[0]
    numbers = theirs.argmax(1)[0].numpy()
    names = [word.replace("_", " ") for word in FACEXLIB[name].split()]

    monkeypatch.setattr(Parser, "side", side)
    ours = load_parser(files[name], HOST).parse(crop_of(levels))
    order = [names.index(region) for region in REGIONS]
    assert torch.allclose(ours, theirs.softmax(1)[:, order], atol=1e-5)
    assert len(np.unique(numbers)) >= 4

    # facexlib's mask for pasting: a table of regions, then two blurs.
    table = np.array([255.0 if region in FACE_REGIONS else 0.0 for region in names])
    blurred = cv2.GaussianBlur(cv2.GaussianBlur(table[numbers], (101, 101), 11), (101, 101), 11) / 255
    hard = torch.nn.functional.one_hot(ours.argmax(1), len(REGIONS)).movedim(-1, 1)
    mask = region_mask(hard, FACE_REGIONS, feather=2**0.5 * 11 / side)[0]
    assert float((mask - torch.from_numpy(blurred)).abs().max()) < 1e-3


@pytest.mark.usefixtures("several_at_once")
@pytest.mark.parametrize("name", ["ParseNet", "BiSeNet"])
def test_crops_do_not_act_on_each_other(files: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parser, "side", 64)
    parser = load_parser(files[name], HOST)
    crops = torch.cat([crop_of(picture(512))[..., start : start + 64, :64] for start in (0, 100)])
    together = parser.parse(crops)
    assert torch.equal(together, parser.parse(crops))
    alone = torch.cat([parser.parse(crop[None]) for crop in crops])
    assert float((together - alone).abs().max()) < 1e-4
    assert torch.allclose(together.sum(1), torch.ones(2, 64, 64), atol=1e-5)


def test_crops_of_every_side_are_seen_whole() -> None:
    parser, _ = parser_of(HOST)
    for side in (64, 512, 700):
        crop = torch.zeros(1, 3, side, side)
        crop[..., : side // 4, side // 2 :] = 1
        skin = parser.parse(crop)[0, REGIONS.index("skin")]
        assert skin.shape == (512, 512)
        expected = torch.zeros(512, 512)
        expected[:128, 256:] = 1
        assert float((skin - expected).abs().mean()) < 0.01


def test_no_crops_give_no_maps() -> None:
    assert parser_of(HOST)[0].parse(torch.zeros(0, 3, 64, 64)).shape == (0, 19, 512, 512)


@pytest.mark.usefixtures("several_at_once")
def test_batches_are_halved_when_memory_runs_out(generator: torch.Generator) -> None:
    crops = torch.rand(5, 3, 32, 32, generator=generator)
    parser, module = parser_of(HOST, most=2)
    maps = parser.parse(crops)
    assert module.batches == [5, 2, 2, 1]
    assert torch.equal(maps, parser_of(HOST)[0].parse(crops))
    with pytest.raises(MemoryError, match="pretended, even with one picture"):
        parser_of(HOST, most=0)[0].parse(crops)


@pytest.mark.usefixtures("several_at_once")
def test_batches_are_as_large_as_free_memory_lets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    parser, module = parser_of(HOST, bytes_per_pixel=100)
    monkeypatch.setattr(HOST, "free_bytes", lambda: 2 * 512 * 512 * 100)
    parser.parse(torch.zeros(5, 3, 32, 32))
    assert module.batches == [2, 2, 1]


@pytest.mark.usefixtures("several_at_once")
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf")])
def test_invalid_numbers_are_reported_with_network_and_crop(rubbish: float) -> None:
    def spoil(images: Tensor) -> Tensor:
        logits = bright_is_skin(images)
        logits[images.mean((1, 2, 3)) > 0.5, 3, 5, 5] = rubbish
        return logits

    crops = torch.zeros(5, 3, 32, 32)
    crops[1] = crops[4] = 1
    with pytest.raises(InvalidOutputError, match=r"pretended.*crop 1, 4") as caught:
        parser_of(HOST, spoil)[0].parse(crops)
    assert caught.value.positions == (1, 4)


def test_progress_counts_crops() -> None:
    class Count:
        steps = 0

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    progress = Count()
    parser_of(HOST)[0].parse(torch.zeros(3, 3, 32, 32), progress)
    assert progress.steps == 3


def test_wrong_shapes_are_refused() -> None:
    for shape in [(3, 64, 64), (1, 4, 64, 64), (1, 3, 64, 32)]:
        with pytest.raises(ValueError, match=r"\[N, 3, S, S\]"):
            parser_of(HOST)[0].parse(torch.zeros(shape))


def test_bf16_is_refused_where_it_was_not_measured_to_be_accurate(files: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=r"ParseNet.*not accurate enough in bf16.*fp32"):
        load_parser(files["ParseNet"], HOST, "bf16")


def test_bf16_of_bisenet_stays_within_its_measure(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parser, "side", 128)
    crop = crop_of(picture(128))
    exact, coarse = (load_parser(files["BiSeNet"], HOST, precision).parse(crop) for precision in ("fp32", "bf16"))
    assert coarse.dtype == torch.float32
    assert float((exact.argmax(1) != coarse.argmax(1)).float().mean()) < 0.02
    masks = [region_mask(maps, FACE_REGIONS, feather=0.03) for maps in (exact, coarse)]
    assert 0 < float((masks[0] - masks[1]).abs().max()) < 1 / 255


# Files


@pytest.mark.parametrize("name", ["ParseNet", "BiSeNet"])
def test_files_are_recognised_under_any_name(files: dict[str, Path], name: str, tmp_path: Path) -> None:
    tensors = torch.load(files[name], weights_only=True)
    save_file(tensors, tmp_path / "any.safetensors")
    before = torch.get_rng_state()
    parser = load_parser(tmp_path / "any.safetensors", HOST)
    assert (parser.name, parser.architecture) == ("any", name)
    assert torch.equal(torch.get_rng_state(), before)


def write(path: Path, content: Any) -> Path:
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"face\.pth is empty"),
        (b"<!DOCTYPE html><html></html>", r"face\.pth is a web page"),
        (b"PK\x03\x04" + bytes(99), r"face\.pth is cut short"),
        ({"conv.weight": torch.zeros(1)}, r"face\.pth is no face parser that Visage knows.*parsing_bisenet\.pth"),
        (
            {
                name: torch.zeros(1)
                for name in ("cp.resnet.conv1.weight", "ffm.convblk.conv.weight", "conv_out.conv_out.weight")
            },
            r"face\.pth looks like BiSeNet, but tensors are missing",
        ),
    ],
    ids=["empty", "page", "cut", "other", "damaged"],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_parser(write(tmp_path / "face.pth", content), HOST)


def test_missing_and_hostile_files(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(tmp_path / "trace"), "w")

    with pytest.raises(WeightsError, match=r"no weight file .*nowhere\.pth.*visage models get"):
        load_parser(tmp_path / "nowhere.pth", HOST)
    with pytest.raises(WeightsError, match=r"evil\.pth was refused"):
        load_parser(write(tmp_path / "evil.pth", {"encoder.0.conv2d.weight": Evil()}), HOST)
    assert not (tmp_path / "trace").exists()


@pytest.mark.usefixtures("several_at_once")
def test_a_mask_is_made_of_the_maps(generator: torch.Generator) -> None:
    crops = torch.rand(3, 3, 16, 16, generator=generator)
    parser, _ = parser_of(HOST, most=2)
    expected = region_mask(parser.parse(crops), FACE_REGIONS, 0.01, 0.02)
    assert torch.allclose(parser.mask(crops, FACE_REGIONS, 0.01, 0.02), expected, atol=1e-6)
    assert parser.mask(crops[:0], FACE_REGIONS, 0.01, 0.02).shape == (0, 512, 512)
