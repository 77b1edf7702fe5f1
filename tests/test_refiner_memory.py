"""What networks of the real sizes need while they compute, counted on tensors without content.

The constants of the diffusers engine come from here: ``pytest tests/test_refiner_memory.py``.
"""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from visage.models.refiners.diffusers_engine.autoencoder import _FLOATS_PER_PIXEL
from visage.models.refiners.diffusers_engine.refiner import _FLOATS_PER_LATENT

XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


class Count(TorchDispatchMode):
    """Follows the bytes of all tensors that are made, and remembers the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, call: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        result = call(*given, **(named or {}))
        # Views of what was given, of weights above all, are nothing new.
        old = {tensor.untyped_storage()._cdata for tensor in tensors_in((given, named))}
        for tensor in tensors_in(result):
            if tensor.untyped_storage()._cdata not in old:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += self._sizes[key]
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def tensors_in(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def counted(network: Any, call: Any) -> int:
    with torch.no_grad(), Count() as count:
        call(network.eval())
    return count.most


@pytest.fixture(autouse=True)
def _attention_without_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device attention is computed without the table of all pairs, on tensors without content with it."""
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda query, *more, **named: torch.empty_like(query))


@pytest.mark.parametrize(("name", "config", "needed"), [("sd", {"cross_attention_dim": 768}, 26), ("xl", XL, 15.8)])
def test_a_unet_needs_less_than_is_asked_for(name: str, config: dict[str, Any], needed: float) -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        network = UNet2DConditionModel(**config)
        latents, words = torch.empty(2, 4, 64, 64), torch.empty(2, 77, config["cross_attention_dim"])
        more = {"text_embeds": torch.empty(2, 1280), "time_ids": torch.empty(2, 6)} if name == "xl" else {}
        time = torch.tensor(1)
    most = counted(network, lambda unet: unet(latents, time, encoder_hidden_states=words, added_cond_kwargs=more))
    assert most / 4 / (2 * 64 * 64) / 320 == pytest.approx(needed, abs=0.1)
    assert 2 * needed <= _FLOATS_PER_LATENT


def test_a_vae_needs_less_than_is_asked_for() -> None:
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        network = AutoencoderKL(
            block_out_channels=[128, 256, 512, 512],
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            layers_per_block=2,
        )
        pixels, latents = torch.empty(1, 3, 512, 512), torch.empty(1, 4, 64, 64)
    for needed, call in ((5, lambda vae: vae.encode(pixels)), (6, lambda vae: vae.decode(latents))):
        assert counted(network, call) / 4 / 512**2 / 128 == pytest.approx(needed, abs=0.1)
        assert 2 * needed <= _FLOATS_PER_PIXEL
