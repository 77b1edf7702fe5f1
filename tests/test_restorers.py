"""Restorers around networks small enough to see through: ranges, arguments, batches, sizes, failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from visage.models.host import Resident, TorchHost
from visage.models.inference import AtOnce, InvalidOutputError
from visage.models.restorers import RestoreOptions, Restorer, codeformer, elir, gfpgan, load_restorer
from visage.models.restorers import restorer as restorer_module
from visage.models.restorers.architectures import picture_architecture
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Architecture, Network
from visage.models.weights import WeightsError
from visage.tests.parity.precision import bf16_difference, photographs

HOST = TorchHost("cpu", quiet=True)

OPTIONS = RestoreOptions(fidelity=0.25, steps=7, seed=9, adain=False)
# What each network is told for these options.
ARGUMENTS: dict[Architecture, tuple[object, ...]] = {
    gfpgan.ARCHITECTURE: (),
    codeformer.RESTORING: (0.25, False),
    codeformer.FILLING: (1.0, False),
    codeformer.COLOURING: (0.0, True),
    elir.ARCHITECTURE: (7, 9),
}


class Recorder(nn.Module):
    """A face network that keeps what it was called with and gives its input back."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.images: list[Tensor] = []
        self.arguments: list[tuple[object, ...]] = []

    def forward(self, images: Tensor, *arguments: object) -> Tensor:
        self.images.append(images)
        self.arguments.append(arguments)
        return images.clone()


class Enlarge(nn.Module):
    """An upscaler that repeats pixels, and fails as it is told to."""

    def __init__(self, scale: int = 4, most: int = 99, fail: Callable[[Tensor], Tensor] = lambda image: image) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.scale = scale
        self.most = most
        self.fail = fail
        self.batches: list[int] = []
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        self.sizes.append(tuple(images.shape[2:]))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.fail(F.interpolate(images, scale_factor=self.scale, mode="nearest"))


def face_restorer(architecture: Architecture) -> tuple[Restorer, Recorder]:
    module = Recorder()
    return Restorer(Network("face", module, architecture, 1), HOST), module


def picture_restorer(
    module: Enlarge, host: TorchHost = HOST, **sizes: Callable[[int, int], tuple[int, int]]
) -> Restorer:
    architecture = picture_architecture("Compact", lambda network, images: network(images))
    return Restorer(Network("enlarge", module, architecture, module.scale, **sizes), host)


@pytest.fixture
def several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the CPU take batches, as other devices do."""
    monkeypatch.setattr(restorer_module, "_AT_ONCE", AtOnce(cpu=8, elsewhere=8))


@pytest.mark.parametrize("architecture", [gfpgan.ARCHITECTURE, codeformer.RESTORING])
def test_faces_go_in_and_come_out_between_minus_one_and_one(architecture: Architecture) -> None:
    restorer, module = face_restorer(architecture)
    crop = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 512, 512)
    restored = restorer.restore(crop)
    assert module.images[0][0, :, 0, 0].tolist() == [-1.0, 0.0, 1.0]
    assert torch.equal(restored, crop)


@pytest.mark.parametrize("architecture", ARGUMENTS, ids=lambda architecture: architecture.name)
def test_every_architecture_gets_its_arguments(architecture: Architecture) -> None:
    restorer, module = face_restorer(architecture)
    restorer.restore(torch.zeros(1, 3, 512, 512), OPTIONS, hidden=torch.zeros(1, 512, 512, dtype=torch.bool))
    assert module.arguments == [ARGUMENTS[architecture]]
    assert restorer.acts_on_fidelity == (architecture is codeformer.RESTORING)


def test_what_fills_sees_white_and_leaves_the_rest(generator: torch.Generator) -> None:
    restorer, module = face_restorer(codeformer.FILLING)
    crops = torch.rand(2, 3, 512, 512, generator=generator)
    hidden = torch.zeros(2, 512, 512, dtype=torch.bool)
    hidden[0, 100:200, 50:60] = hidden[1, :, 300:] = True
    restored = restorer.restore(crops, hidden=hidden)
    assert torch.equal(torch.cat(module.images), crops.masked_fill(hidden[:, None], 1.0) * 2 - 1)
    outside = ~hidden[:, None].expand_as(crops)
    assert torch.equal(restored[outside], crops[outside])
    assert bool((restored[~outside] == 1).all())
    with pytest.raises(ValueError, match="fills hidden parts"):
        restorer.restore(crops)


def test_what_colours_sees_grey() -> None:
    restorer, module = face_restorer(codeformer.COLOURING)
    restorer.restore(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 512, 512))
    grey = 0.299 + 0.587 * 0.5
    assert module.images[0][0, :, 7, 7].tolist() == pytest.approx([grey * 2 - 1] * 3)


def test_pictures_go_in_unchanged_and_overshoot_is_cut() -> None:
    module = Enlarge(fail=lambda image: image * 3 - 1)
    crop = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    restored = picture_restorer(module).restore(crop)
    assert restored.shape == (1, 3, 512, 512)
    assert restored[0, :, 7, 7].tolist() == pytest.approx([0.0, 0.5, 1.0])


def test_no_crops_give_no_crops() -> None:
    assert picture_restorer(Enlarge()).restore(torch.zeros(0, 3, 128, 128)).shape == (0, 3, 512, 512)


@pytest.mark.usefixtures("several_at_once")
def test_batches_are_halved_when_memory_runs_out(generator: torch.Generator) -> None:
    crops = torch.rand(7, 3, 16, 16, generator=generator)
    module = Enlarge(most=2)
    restored = picture_restorer(module).restore(crops)
    assert module.batches == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert torch.equal(restored, F.interpolate(crops, scale_factor=4, mode="nearest"))


@pytest.mark.usefixtures("several_at_once")
def test_batches_are_as_large_as_free_memory_lets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Enlarge()
    monkeypatch.setattr(HOST, "free_bytes", lambda: 3 * 16 * 16 * 1200)
    picture_restorer(module).restore(torch.zeros(7, 3, 16, 16))
    assert module.batches == [3, 3, 1]


def test_a_crop_that_does_not_fit_alone_is_reported() -> None:
    with pytest.raises(MemoryError):
        picture_restorer(Enlarge(most=0)).restore(torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.usefixtures("several_at_once")
def test_invalid_numbers_are_reported_with_network_and_crop(rubbish: float) -> None:
    def spoil(image: Tensor) -> Tensor:
        image[image.amax(dim=(1, 2, 3)) > 0.5, 0, 3, 3] = rubbish
        return image

    crops = torch.zeros(5, 3, 16, 16)
    crops[2] = crops[4] = 1
    with pytest.raises(InvalidOutputError, match=r"enlarge.*crop 2, 4") as caught:
        picture_restorer(Enlarge(fail=spoil)).restore(crops)
    assert caught.value.positions == (2, 4)


def test_the_crop_is_named_by_its_place_in_the_whole_batch() -> None:
    crops = torch.zeros(5, 3, 16, 16)
    crops[3] = float("nan")
    with pytest.raises(InvalidOutputError) as caught:
        picture_restorer(Enlarge()).restore(crops)
    assert caught.value.positions == (3,)


class StopAskedError(Exception):
    """The user asked to stop."""


def test_an_interrupt_is_noticed_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Enlarge()

    def stop_after_two() -> None:
        if len(module.batches) == 2:
            raise StopAskedError

    monkeypatch.setattr(HOST, "check_interrupt", stop_after_two)
    with pytest.raises(StopAskedError):
        picture_restorer(module).restore(torch.zeros(5, 3, 16, 16))
    assert module.batches == [1, 1]


class NotingHost(TorchHost):
    """Notes the room for which networks were brought."""

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)
        self.room: list[int] = []

    def adopt(self, module: nn.Module, dtype: torch.dtype) -> Resident[nn.Module]:
        resident = super().adopt(module, dtype)
        bring = resident.bring

        def noted(working_bytes: int) -> torch.device:
            self.room.append(working_bytes)
            return bring(working_bytes)

        resident.bring = noted
        return resident


def test_the_weights_are_brought_before_every_call_with_room_for_it() -> None:
    host, module = NotingHost(), Enlarge()
    picture_restorer(module, host).restore(torch.zeros(3, 3, 16, 16))
    assert len(host.room) >= len(module.batches) == 3
    assert set(host.room) == {16 * 16 * 1200}


def test_progress_counts_crops() -> None:
    class Count:
        steps = 0

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    progress = Count()
    picture_restorer(Enlarge()).restore(torch.zeros(5, 3, 16, 16), progress=progress)
    assert progress.steps == 5


def test_wrong_shapes_and_fidelities_are_refused() -> None:
    restorer, _ = face_restorer(codeformer.RESTORING)
    for shape in [(1, 3, 256, 256), (1, 4, 512, 512), (3, 512, 512)]:
        with pytest.raises(ValueError, match=r"\[N, 3, 512, 512\]"):
            restorer.restore(torch.zeros(shape))
    for fidelity in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="fidelity"):
            RestoreOptions(fidelity=fidelity)


def test_required_sizes_are_met_by_repeating_the_border_and_cut_back(generator: torch.Generator) -> None:
    def to_multiple_of_24(width: int, height: int) -> tuple[int, int]:
        return -width % 24, -height % 24

    module = Enlarge(scale=2)
    crops = torch.rand(1, 3, 40, 40, generator=generator)
    restored = picture_restorer(module, padding=to_multiple_of_24).restore(crops)
    assert module.sizes == [(48, 48)]
    assert torch.equal(restored, F.interpolate(crops, scale_factor=2, mode="nearest"))


def test_padding_repeats_the_last_row_and_column() -> None:
    seen: list[Tensor] = []

    def look(image: Tensor) -> Tensor:
        seen.append(image)
        return image

    crop = torch.zeros(1, 3, 10, 10)
    crop[..., -1, :] = 1
    restorer = picture_restorer(Enlarge(scale=1, fail=look), padding=lambda width, height: (2, 2))
    restorer.restore(crop)
    assert seen[0].shape == (1, 3, 12, 12)
    assert bool((seen[0][..., 9:, :] == 1).all())


@pytest.mark.parametrize("native", [8.0, 300.0, 4000.0])
def test_face_networks_have_one_crop_size(native: float) -> None:
    restorer, _ = face_restorer(gfpgan.ARCHITECTURE)
    assert restorer.crop_size(native) == 512


@pytest.mark.parametrize(
    ("scale", "native", "side"),
    [
        (4, 0.0, 128),
        (4, 60.0, 128),
        (4, 180.0, 128),
        (4, 182.0, 256),
        (4, 362.0, 256),
        (4, 363.0, 512),
        (4, 3000.0, 512),
        (1, 120.0, 128),
        (1, 140.0, 256),
        (1, 300.0, 512),
        (1, 900.0, 512),
        (2, 255.0, 256),
    ],
)
def test_other_networks_get_the_nearest_size_that_loses_nothing(scale: int, native: float, side: int) -> None:
    assert picture_restorer(Enlarge(scale=scale)).crop_size(native) == side


def test_bf16_is_refused_where_it_was_not_measured_to_be_accurate() -> None:
    network = Network("CodeFormer", Recorder(), codeformer.RESTORING, 1)
    with pytest.raises(WeightsError, match=r"CodeFormer.*not accurate enough in bf16.*fp32"):
        Restorer(network, HOST, "bf16")
    unknown = picture_architecture("SwinIR", lambda module, images: images)
    with pytest.raises(WeightsError, match="bf16"):
        Restorer(Network("swin", Enlarge(), unknown, 4), HOST, "bf16")


def test_bf16_casts_only_inside() -> None:
    module = Recorder()
    restorer = Restorer(Network("face", module, gfpgan.ARCHITECTURE, 1), HOST, "bf16")
    restored = restorer.restore(torch.full((1, 3, 512, 512), 0.3))
    assert module.images[0].dtype == torch.bfloat16
    assert restored.dtype == torch.float32
    assert float((restored - 0.3).abs().max()) < 1 / 255


# Real weights on real photographs.


@pytest.fixture(scope="module")
def real(data: Path) -> Restorer:
    return load_restorer(data / "weights" / "realesr-general-x4v3.pth", HOST)


@pytest.fixture(scope="module")
def squares(data: Path) -> Tensor:
    return photographs(data / "photos", 128)[[1, 4]]


def test_a_real_upscaler_restores_photographs(real: Restorer, squares: Tensor) -> None:
    before = squares.clone()
    restored = real.restore(squares)
    assert (real.name, real.architecture, real.scale) == ("realesr-general-x4v3", "Compact", 4)
    assert not real.acts_on_fidelity
    assert restored.shape == (2, 3, 512, 512)
    assert 0 <= float(restored.min()) < float(restored.max()) <= 1
    assert torch.equal(squares, before)
    # Shrunk back it is the same picture, colours included; at its own size its edges are sharper than a plain one's.
    back = F.interpolate(restored, size=(128, 128), mode="bicubic", antialias=True)
    assert float((back - squares).abs().mean()) < 6 / 255
    assert float((back - squares).mean(dim=(2, 3)).abs().max()) < 2 / 255
    plain = F.interpolate(squares, size=(512, 512), mode="bicubic")
    assert all(steepest(restored[index]) > 1.2 * steepest(plain[index]) for index in range(2))


def steepest(image: Tensor) -> float:
    """The slope that one pixel in a hundred exceeds."""
    grey = image.mean(dim=0).numpy()
    slopes = torch.from_numpy(cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
    return float(slopes.flatten().kthvalue(round(slopes.numel() * 0.99)).values)


@pytest.mark.usefixtures("several_at_once")
def test_real_crops_do_not_act_on_each_other(real: Restorer, squares: Tensor) -> None:
    together = real.restore(squares)
    alone = torch.cat([real.restore(square[None]) for square in squares])
    assert float((together - alone).abs().max()) < 1e-4
    assert torch.equal(real.restore(squares, RestoreOptions(fidelity=1.0)), together)


def test_real_bf16_stays_within_its_measure(data: Path, squares: Tensor) -> None:
    difference = bf16_difference(load_network(data / "weights" / "realesr-general-x4v3.pth"), squares)
    assert 0 < difference.mean < 0.6
    assert difference.p999 < 4
