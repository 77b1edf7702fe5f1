"""Restorers in their official layout and size against the authors' own networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from visage.models.host import TorchHost
from visage.models.inference import AtOnce
from visage.models.restorers import RestoreOptions, Restorer, load_restorer
from visage.models.restorers import restorer as restorer_module
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network
from visage.models.upscaler import load_upscaler
from visage.models.weights import WeightsError
from visage.tests.parity.fingerprints import NAMES, Fingerprint, read_fingerprint, write_checkpoint
from visage.tests.parity.precision import bf16_difference
from visage.tests.pretend_device import DEVICE, pretended_device

HOST = TorchHost("cpu", quiet=True)
# Where bfloat16 is allowed, and the side of the crop that it is tried on.
_BF16_SIDES = {"GFPGAN": 512, "ELIR": 128}


@dataclass(frozen=True)
class Loaded:
    """A network from an official file, and what its restorer made of a grey crop and the fingerprint's, together and
    alone."""

    fingerprint: Fingerprint
    path: Path
    network: Network
    restorer: Restorer
    grey: Tensor
    restored: Tensor
    alone: Tensor


# GPEN has its own tests, most of them at 256 pixels.
@pytest.fixture(scope="module", params=[name for name in NAMES if name != "gpen-512"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    fingerprint = read_fingerprint(request.param)
    path = tmp_path_factory.mktemp("official") / f"{request.param}.pth"
    write_checkpoint(fingerprint, path)
    network = load_network(path)
    assert network.architecture.side in (512, fingerprint.side)
    # The slowest are compared on smaller crops, which they take as well.
    network = replace(network, architecture=replace(network.architecture, side=fingerprint.side))
    restorer = Restorer(network, HOST)
    crop = fingerprint.crop()
    alone = restorer.restore(crop, RestoreOptions(fidelity=fingerprint.fidelity))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restorer_module, "_AT_ONCE", AtOnce(cpu=2, elsewhere=2))
        together = restorer.restore(
            torch.cat([torch.full_like(crop, 0.5), crop]), RestoreOptions(fidelity=fingerprint.fidelity)
        )
    yield Loaded(fingerprint, path, network, restorer, together[:1], together[1:], alone)
    path.unlink()


def test_same_numbers_on_a_device(loaded: Loaded) -> None:
    """A pretended one: no tensor is forgotten on the CPU, and nothing but what decides about the result is read."""
    fingerprint = loaded.fingerprint
    network = load_network(loaded.path)
    network = replace(network, architecture=replace(network.architecture, side=fingerprint.side))
    with pretended_device() as device, torch.inference_mode():
        restorer = Restorer(network, TorchHost(DEVICE, quiet=True))
        restored = restorer.restore(fingerprint.crop().to(DEVICE), RestoreOptions(fidelity=fingerprint.fidelity))
        assert device.to_cpu.bytes < 100
        restored = restored.cpu()
    torch.testing.assert_close(restored, loaded.alone, atol=1e-5, rtol=0)


def test_same_numbers_as_the_authors_network(loaded: Loaded) -> None:
    assert loaded.restorer.architecture == loaded.fingerprint.architecture
    assert loaded.fingerprint.distance(loaded.restored) < 1e-4
    # The comparison means something: no parameter is silent, and most of the picture lies between black and white.
    assert all(bool(parameter.any()) for parameter in loaded.network.module.parameters())
    assert 0.1 < float(loaded.restored.std()) < 0.5
    assert float(((loaded.restored > 0) & (loaded.restored < 1)).float().mean()) > 0.8


def test_no_face_acts_on_another(loaded: Loaded) -> None:
    assert float((loaded.alone - loaded.restored).abs().max()) * 2 < 1e-4
    assert float((loaded.grey - loaded.restored).abs().mean()) > 0.01


@pytest.mark.parametrize("loaded", ["codeformer"], indirect=True)
def test_fidelity_acts_in_codeformer(loaded: Loaded) -> None:
    faithless = loaded.restorer.restore(loaded.fingerprint.crop(), RestoreOptions(fidelity=0.0))
    assert float((faithless - loaded.alone).abs().mean()) > 0.05


@pytest.mark.parametrize("loaded", ["gfpgan"], indirect=True)
def test_gfpgan_gives_the_same_bits_again_at_any_fidelity(loaded: Loaded) -> None:
    again = loaded.restorer.restore(loaded.fingerprint.crop(), RestoreOptions(fidelity=0.0))
    assert torch.equal(again, loaded.alone)


def test_bf16_is_as_close_as_the_table_says_or_refused(loaded: Loaded) -> None:
    if loaded.fingerprint.architecture in _BF16_SIDES:
        side = _BF16_SIDES[loaded.fingerprint.architecture]
        difference = bf16_difference(load_network(loaded.path), loaded.fingerprint.crop()[..., :side, :side])
        assert 0 < difference.mean < 0.8
        assert difference.p999 < 4
    else:
        with pytest.raises(WeightsError, match="bf16"):
            load_restorer(loaded.path, HOST, "bf16")


def test_face_networks_are_no_upscalers(loaded: Loaded) -> None:
    with pytest.raises(WeightsError, match="Choose it as the restorer"):
        load_upscaler(loaded.path, HOST)


@pytest.mark.parametrize("loaded", ["restoreformer"], indirect=True)
def test_restoreformers_own_checkpoints_load_too(loaded: Loaded, tmp_path: Path) -> None:
    tensors = torch.load(loaded.path, weights_only=True)["params"]
    official = {f"vqvae.{name}": value for name, value in tensors.items()}
    official["vqvae.quantize.utility_counter"] = torch.zeros(1024)
    torch.save({"state_dict": official, "epoch": 3}, tmp_path / "RestoreFormer.ckpt")
    found = load_network(tmp_path / "RestoreFormer.ckpt").module.state_dict()
    (tmp_path / "RestoreFormer.ckpt").unlink()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in found.items())
