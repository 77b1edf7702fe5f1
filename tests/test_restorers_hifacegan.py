"""HiFaceGAN: how its weights are folded, and its second variant against the authors' network, run in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from visage.models.restorers.hifacegan.files import folded
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network, forward
from visage.tests.parity.fingerprints import Fingerprint, read_fingerprint, write_checkpoint


@pytest.fixture(scope="module")
def fingerprint() -> Fingerprint:
    return read_fingerprint("hifacegan-features")


@pytest.fixture(scope="module")
def network(fingerprint: Fingerprint, tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("official") / "latest_net_G.pth"
    write_checkpoint(fingerprint, path)
    return load_network(path)


def restored(network: Network, crops: torch.Tensor) -> torch.Tensor:
    return forward(network, network.module, crops, torch.float32)


def test_guided_by_features_it_gives_the_same_numbers(fingerprint: Fingerprint, network: Network) -> None:
    assert network.architecture.name == "HiFaceGAN"
    assert network.architecture.side == 512
    result = restored(network, fingerprint.crop())
    assert fingerprint.distance(result) < 1e-5
    assert all(bool(parameter.any()) for parameter in network.module.parameters())
    assert float(result.std()) > 0.05


def test_it_keeps_no_state_and_no_face_acts_on_another(fingerprint: Fingerprint, network: Network) -> None:
    crop = fingerprint.crop()
    alone = restored(network, crop)
    assert torch.equal(restored(network, crop), alone)
    assert not list(network.module.buffers())
    together = restored(network, torch.cat([crop.flip(3), crop, torch.rand_like(crop)]))
    assert float((together[1:2] - alone).abs().max()) < 1e-5
    assert float((together[0] - together[1]).abs().mean()) > 0.01


def test_pictures_go_in_and_come_out_as_they_are(network: Network) -> None:
    """Neither shifted to -1..1 on the way in nor back on the way out."""
    grey = torch.full((1, 3, 128, 128), 0.5)
    with torch.no_grad():
        assert torch.equal(restored(network, grey), network.module(grey))


def test_weights_are_folded_as_the_first_call_in_training_mode_does(generator: torch.Generator) -> None:
    layer = nn.utils.spectral_norm(nn.Conv2d(6, 10, 3, bias=False))
    nn.init.normal_(layer.weight_orig, generator=generator)
    tensors = {f"conv_0.{name}": value.clone() for name, value in layer.state_dict().items()}
    layer.train()(torch.zeros(1, 6, 8, 8))
    plain = folded(tensors)
    assert plain.keys() == {"conv_0.weight"}
    assert torch.allclose(plain["conv_0.weight"], layer.weight, rtol=1e-6)


def test_where_training_has_converged_evaluation_mode_gives_the_same_weights(generator: torch.Generator) -> None:
    layer = nn.utils.spectral_norm(nn.Conv2d(6, 10, 3, bias=False), n_power_iterations=200)
    nn.init.normal_(layer.weight_orig, generator=generator)
    layer.train()(torch.zeros(1, 6, 8, 8))
    tensors = {f"conv_s.{name}": value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(torch.zeros(1, 6, 8, 8))
    weight = folded(tensors)["conv_s.weight"]
    assert torch.allclose(weight, layer.weight, rtol=1e-5)
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, rel=1e-5)
