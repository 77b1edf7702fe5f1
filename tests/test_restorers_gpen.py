"""GPEN against the authors' network, run in float64 without its compiled operations, and the layouts of its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from visage.faces.alignment import GPEN
from visage.models.host import TorchHost
from visage.models.inference import AtOnce
from visage.models.restorers import Restorer, load_restorer
from visage.models.restorers import restorer as restorer_module
from visage.models.restorers.gpen import KIND
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network, forward
from visage.models.upscaler import load_upscaler
from visage.models.weights import WeightsError
from visage.tests.parity.fingerprints import Fingerprint, read_fingerprint, write_checkpoint
from visage.tests.parity.precision import bf16_difference
from visage.tests.pretend_device import DEVICE, pretended_device

HOST = TorchHost("cpu", quiet=True)
LAYOUTS = json.loads((Path(__file__).parent / "fingerprints" / "gpen-layouts.json").read_text())


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fingerprint, Path]:
    fingerprint = read_fingerprint("gpen-256")
    path = tmp_path_factory.mktemp("official") / "GPEN-BFR-256.pth"
    write_checkpoint(fingerprint, path)
    return fingerprint, path


@pytest.fixture(scope="module")
def network(official: tuple[Fingerprint, Path]) -> Network:
    return load_network(official[1])


@pytest.fixture(scope="module")
def restorer(network: Network) -> Restorer:
    return Restorer(network, HOST)


def test_the_network_of_256_pixels_gives_the_same_numbers(official: tuple[Fingerprint, Path], network: Network) -> None:
    fingerprint, _ = official
    restored = forward(network, network.module, fingerprint.crop(), torch.float32)
    assert fingerprint.distance(restored) < 1e-5
    assert all(bool(parameter.any()) for parameter in network.module.parameters())
    assert 0.1 < float(restored.std()) < 0.5


def test_same_numbers_on_a_device(official: tuple[Fingerprint, Path]) -> None:
    """A pretended one: no tensor is forgotten on the CPU."""
    fingerprint, path = official
    with pretended_device() as device, torch.inference_mode():
        restored = load_restorer(path, TorchHost(DEVICE, quiet=True)).restore(fingerprint.crop().to(DEVICE))
        assert device.to_cpu.bytes < 100
        restored = restored.cpu()
    assert fingerprint.distance(restored) < 1e-5


def test_the_crop_follows_the_size_of_the_network(restorer: Restorer) -> None:
    assert (restorer.architecture, restorer.crop_size(100), restorer.scale) == ("GPEN 256", 256, 1)
    assert restorer.template is GPEN
    assert not restorer.acts_on_fidelity
    with pytest.raises(ValueError, match=r"\[N, 3, 256, 256\]"):
        restorer.restore(torch.zeros(1, 3, 512, 512))


def test_no_face_acts_on_another_and_nothing_is_drawn(
    official: tuple[Fingerprint, Path], restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = official[0].crop()
    alone = restorer.restore(crop)
    assert torch.equal(restorer.restore(crop), alone)
    monkeypatch.setattr(restorer_module, "_AT_ONCE", AtOnce(cpu=3, elsewhere=3))
    together = restorer.restore(torch.cat([torch.zeros_like(crop), crop, crop.flip(3)]))
    assert float((together[1:2] - alone).abs().max()) < 1e-5
    assert float((together[0] - together[1]).abs().mean()) > 0.01


def test_bf16_is_as_close_as_the_table_says(official: tuple[Fingerprint, Path], network: Network) -> None:
    assert network.architecture.bf16
    difference = bf16_difference(network, official[0].crop())
    assert 0 < difference.mean < 0.8
    assert difference.p999 < 5


def test_grey_goes_in_as_nought(network: Network, restorer: Restorer) -> None:
    with torch.no_grad():
        raw = network.module(torch.zeros(1, 3, 256, 256))
    grey = restorer.restore(torch.full((1, 3, 256, 256), 0.5))
    assert torch.equal(grey, (raw / 2 + 0.5).clamp(0, 1))
    assert float(raw.min()) < -0.1 < 0.1 < float(raw.max())


def test_checkpoints_of_a_training_give_the_averaged_weights(
    official: tuple[Fingerprint, Path], network: Network, tmp_path: Path
) -> None:
    averaged = torch.load(official[1], weights_only=True)
    latest = {name: value + 1 for name, value in averaged.items()}
    torch.save({"g": latest, "d": {}, "g_ema": averaged, "g_optim": {"step": 3}}, tmp_path / "035000.pth")
    expected = network.module.state_dict()
    found = load_network(tmp_path / "035000.pth").module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_the_network_of_512_pixels_gives_the_same_numbers(tmp_path: Path) -> None:
    fingerprint = read_fingerprint("gpen-512")
    write_checkpoint(fingerprint, tmp_path / "GPEN-BFR-512.pth")
    network = load_network(tmp_path / "GPEN-BFR-512.pth")
    (tmp_path / "GPEN-BFR-512.pth").unlink()
    assert (network.architecture.name, network.architecture.side) == ("GPEN 512", 512)
    assert fingerprint.distance(forward(network, network.module, fingerprint.crop(), torch.float32)) < 1e-5


def test_it_is_no_upscaler(official: tuple[Fingerprint, Path]) -> None:
    with pytest.raises(WeightsError, match="Choose it as the restorer"):
        load_upscaler(official[1], HOST)


def test_the_network_of_1024_pixels_gives_the_same_numbers(tmp_path: Path) -> None:
    """As deep as the official one, with a sixteenth of its features."""
    fingerprint = read_fingerprint("gpen-1024-narrow")
    write_checkpoint(fingerprint, tmp_path / "narrow.pth")
    restorer = load_restorer(tmp_path / "narrow.pth", HOST)
    assert (restorer.architecture, restorer.crop_size(100)) == ("GPEN 1024", 1024)
    assert fingerprint.distance(restorer.restore(fingerprint.crop())) < 1e-5


@pytest.mark.parametrize("size", ["1024", "2048"])
def test_the_large_official_files_fit(size: str) -> None:
    official = {name: torch.empty(shape, device="meta") for name, shape in LAYOUTS[size].items()}
    assert KIND.recognises(official)
    network = KIND.load("large", official)
    assert network.architecture.side == int(size)
    assert {name: list(value.shape) for name, value in network.module.state_dict().items()} == LAYOUTS[size]


@pytest.mark.parametrize(
    ("file", "task"),
    [("GPEN-Colorization-1024", "colour"), ("GPEN-Inpainting-1024", "fill"), ("GPEN-BFR-1024", "restore")],
)
def test_what_a_network_does_is_told_by_its_name_alone(file: str, task: str) -> None:
    official = {name: torch.empty(shape, device="meta") for name, shape in LAYOUTS["1024"].items()}
    assert KIND.load(file, official).architecture.task == task
    with pytest.raises(WeightsError, match="no restorer"):
        KIND.load("GPEN-Seg2face-512", official)
