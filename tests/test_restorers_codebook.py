"""RestoreFormer and VQFR: what they are made of, and how their files are told apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from visage.models.restorers import restoreformer, vqfr
from visage.models.restorers.loading import load_network
from visage.models.restorers.network import Network, forward
from visage.models.restorers.options import RestoreOptions
from visage.models.restorers.restoreformer.architecture import RestoreFormer
from visage.models.restorers.vqfr.first import VQFRv1
from visage.models.restorers.vqfr.second import VQFRv2
from visage.models.restorers.vqfr.warping import DeformableConvolution
from visage.models.restorers.vqgan import attention, looked_up, nearest_entries
from visage.models.weights import WeightsError
from visage.tests.parity import recipe

SMALL = {"channels": 32, "entries": 16, "code_channels": 32}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "RestoreFormer": lambda: RestoreFormer(heads=8, attended=(5,), **SMALL),
    "RestoreFormer++": lambda: RestoreFormer(heads=4, attended=(4, 5), **SMALL),
    "VQFR v1": lambda: VQFRv1(face_channels=8, **SMALL),
    "VQFR v2": lambda: VQFRv2(face_channels=8, **SMALL),
}


@cache
def tensors_of(name: str) -> dict[str, Tensor]:
    """A small variant of a network, with no parameter at zero."""
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in NETWORKS[name]().state_dict().items()}
    return recipe.weights(shapes, 4, {})


@cache
def loaded(name: str) -> Network:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save({"params": tensors_of(name)}, path)
        return load_network(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_are_recognised_by_their_tensors_and_loaded_whole(name: str) -> None:
    tensors = tensors_of(name)
    network = loaded(name)
    assert network.architecture.name == name
    assert (network.architecture.side, network.scale, network.architecture.signed) == (512, 1, True)
    assert network.architecture.acts_on_fidelity == (name == "VQFR v2")
    found = network.module.state_dict()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[key]) for key, value in found.items())
    assert not network.module.training


@pytest.mark.parametrize("name", NETWORKS)
def test_missing_and_misshapen_tensors_are_reported(name: str, tmp_path: Path) -> None:
    tensors = tensors_of(name)
    last = next(key for key in reversed(tensors) if key.endswith("conv1.weight"))
    for spoilt in (tensors | {last: torch.zeros(1, 2)}, {key: value for key, value in tensors.items() if key != last}):
        torch.save(spoilt, tmp_path / "spoilt.pth")
        with pytest.raises(WeightsError, match=r"spoilt.pth resembles .* do not fit"):
            load_network(tmp_path / "spoilt.pth")


def test_lightning_checkpoints_load_without_their_prefix_and_counter(tmp_path: Path) -> None:
    tensors = tensors_of("RestoreFormer++")
    official = {f"vqvae.{key}": value for key, value in tensors.items()}
    official["vqvae.quantize.utility_counter"] = torch.zeros(16)
    torch.save({"state_dict": official, "epoch": 3, "global_step": 7}, tmp_path / "RestoreFormer++.ckpt")
    found = load_network(tmp_path / "RestoreFormer++.ckpt")
    assert found.architecture.name == "RestoreFormer++"
    assert found.module.state_dict().keys() == tensors.keys()


def test_the_number_of_heads_is_that_of_the_variant() -> None:
    crop = recipe.crop(1)[..., :64, :64]
    for name, heads in (("RestoreFormer", 8), ("RestoreFormer++", 4)):
        network = loaded(name)
        attended = (5,) if heads == 8 else (4, 5)
        for count in (4, 8):
            with torch.device("meta"):
                other = RestoreFormer(heads=count, attended=attended, **SMALL)
            other.load_state_dict(network.module.state_dict(), assign=True)
            same = torch.equal(
                forward(network, network.module, crop, torch.float32), forward(network, other, crop, torch.float32)
            )
            assert same == (count == heads)


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_of_a_batch_do_not_act_on_each_other(name: str) -> None:
    network = loaded(name)
    crops = torch.cat([recipe.crop(seed)[..., :64, :64] for seed in (1, 2, 3)])
    together = forward(network, network.module, crops, torch.float32)
    alone = torch.cat([forward(network, network.module, crop[None], torch.float32) for crop in crops])
    assert float((together - alone).abs().max()) < 2e-5
    assert float((together[0] - together[1]).abs().mean()) > 0.01
    assert torch.equal(forward(network, network.module, crops, torch.float32), together)


def test_fidelity_leads_vqfr_v2_steadily_from_the_textures_to_the_face() -> None:
    network = loaded("VQFR v2")
    crop = recipe.crop(1)[..., :64, :64]

    def restored(fidelity: float) -> Tensor:
        return forward(network, network.module, crop, torch.float32, RestoreOptions(fidelity=fidelity))

    textures, faithful = restored(0.0), restored(1.0)
    ladder = [restored(fidelity) for fidelity in (0.0, 0.1, 0.4, 0.7, 1.0)]
    away = [float((step - textures).abs().mean()) for step in ladder]
    left = [float((step - faithful).abs().mean()) for step in ladder]
    assert away == sorted(away)
    assert left == sorted(left, reverse=True)
    assert away[1] > 0.001
    assert left[-2] > 0.001


def test_at_fidelity_0_vqfr_v2_leaves_out_what_would_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = loaded("VQFR v2")
    crop = recipe.crop(1)[..., :64, :64]
    nearly = forward(network, network.module, crop, torch.float32, RestoreOptions(fidelity=1e-7))
    monkeypatch.setattr(network.module.main_branch, "forward", lambda *_: pytest.fail("the warping branch was run"))
    without = forward(network, network.module, crop, torch.float32, RestoreOptions(fidelity=0.0))
    assert float((without - nearly).abs().max()) < 1e-5


@pytest.mark.parametrize("name", ["RestoreFormer", "RestoreFormer++", "VQFR v1"])
def test_fidelity_does_nothing_where_it_is_said_to_do_nothing(name: str) -> None:
    network = loaded(name)
    crop = recipe.crop(1)[..., :64, :64]
    low, high = (
        forward(network, network.module, crop, torch.float32, RestoreOptions(fidelity=fidelity))
        for fidelity in (0.0, 1.0)
    )
    assert torch.equal(low, high)


@pytest.mark.parametrize(
    "architecture", [restoreformer.RESTOREFORMER, restoreformer.RESTOREFORMER_PLUS_PLUS, vqfr.VQFR_1, vqfr.VQFR_2]
)
def test_crops_go_in_and_come_out_between_minus_one_and_one(architecture) -> None:
    class Mirror(nn.Module):
        def forward(self, images: Tensor, *_: float) -> Tensor:
            seen.append(images)
            return images

    seen: list[Tensor] = []
    module = Mirror()
    crop = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    restored = forward(Network("mirror", module, architecture, 1), module, crop, torch.float32)
    assert seen[0].flatten().tolist() == [-1.0, 0.0, 1.0]
    assert torch.equal(restored, crop)


def test_the_nearest_entry_is_the_nearest(generator: torch.Generator) -> None:
    features = torch.randn(2, 8, 3, 5, generator=generator)
    codebook = torch.randn(40, 8, generator=generator)
    found = nearest_entries(features, codebook)
    distances = torch.cdist(features.permute(0, 2, 3, 1).reshape(-1, 8).double(), codebook.double())
    assert torch.equal(found.flatten(), distances.argmin(dim=1))
    entries = looked_up(found, codebook)
    assert entries.shape == features.shape
    assert torch.equal(entries[1, :, 2, 4], codebook[found[1, 2, 4]])


def test_entries_closer_than_the_spacing_of_bf16_are_told_apart() -> None:
    # 16 squared is far beyond where bf16 counts in whole steps of 1; the two entries are 1/16 apart.
    codebook = torch.full((2, 64), 16.0, dtype=torch.bfloat16)
    codebook[1, 0] = 16.125
    features = torch.full((1, 64, 1, 1), 16.0, dtype=torch.bfloat16)
    assert nearest_entries(features, codebook).tolist() == [[[0]]]
    features[0, 0] = 16.125
    assert nearest_entries(features, codebook).tolist() == [[[1]]]


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_softmax_of_scaled_products(heads: int, generator: torch.Generator) -> None:
    query, key, value = torch.randn(3, 2, 8, 3, 4, generator=generator).unbind()
    wanted = torch.zeros_like(value)
    width = 8 // heads
    for picture in range(2):
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            asked, keys, values = (part[picture, own].flatten(1) for part in (query, key, value))
            weights = (asked.T @ keys / width**0.5).softmax(dim=1)
            wanted[picture, own] = (values @ weights.T).view(width, 3, 4)
    assert torch.allclose(attention(query, key, value, heads), wanted, atol=1e-6)


def test_deformable_convolution_looks_where_it_is_told(generator: torch.Generator) -> None:
    layer = DeformableConvolution(8)
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.normal_(layer.bias, generator=generator)
    nn.init.zeros_(layer.conv_offset.weight)
    nn.init.zeros_(layer.conv_offset.bias)
    features = torch.randn(2, 8, 6, 7, generator=generator)
    guide = torch.randn(2, 8, 6, 7, generator=generator)
    with torch.no_grad():
        # Untold, it is half of an ordinary convolution: the sigmoid of 0.
        plain = F.conv2d(features, layer.weight, padding=1)
        assert torch.allclose(layer(features, guide), plain / 2 + layer.bias.view(1, -1, 1, 1), atol=1e-5)
        # One row down everywhere, and all of it.
        layer.conv_offset.bias[: 4 * 9 * 2 : 2] = 1
        layer.conv_offset.bias[4 * 9 * 2 :] = 30
        lower = F.conv2d(features, layer.weight, layer.bias, padding=1)[:, :, 1:]
        assert torch.allclose(layer(features, guide)[:, :, :-1], lower, atol=1e-4)
