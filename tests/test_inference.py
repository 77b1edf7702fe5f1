"""What networks of faces share: batches of crops, and results that are none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from visage.models.host import TorchHost
from visage.models.inference import AtOnce, InvalidOutputError, over_crops, unusable

HOST = TorchHost("cpu", quiet=True)


@pytest.mark.parametrize("rubbish", [(float("nan"),), (float("inf"),), (-float("inf"),), (float("inf"), -float("inf"))])
@pytest.mark.parametrize("shape", [(4,), (3, 8, 8), (19, 64, 64)])
def test_one_bad_number_among_many_is_noticed(rubbish: tuple[float, ...], shape: tuple[int, ...]) -> None:
    output = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    assert unusable(output) == ()
    for row in (1, 4):
        output[row].view(-1)[-len(rubbish) :] = torch.tensor(rubbish)
    assert unusable(output) == (1, 4)


def test_crops_are_told_by_their_places_and_results_lie_where_the_crops_do() -> None:
    seen: list[slice] = []

    def run(given: Tensor, chosen: slice) -> tuple[Tensor, Tensor]:
        seen.append(chosen)
        assert given.dtype == torch.float32
        return given, given * 2

    crops = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(2)).half()
    resident = HOST.adopt(nn.Identity(), torch.float32)
    made = over_crops(HOST, resident, "pretended", crops, AtOnce(cpu=2, elsewhere=9), 10, run)
    assert seen == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert torch.equal(torch.cat(made), crops.float() * 2)
    assert over_crops(HOST, resident, "pretended", crops[:0], AtOnce(2, 9), 10, run) == []
    crops[3] = torch.nan
    with pytest.raises(InvalidOutputError, match=r"^pretended gave invalid numbers .* crop 3 of the batch") as caught:
        over_crops(HOST, resident, "pretended", crops, AtOnce(cpu=2, elsewhere=9), 10, run)
    assert caught.value.positions == (3,)


def test_a_network_in_which_pytorch_fails_is_named() -> None:
    def run(given: Tensor, chosen: slice) -> tuple[Tensor, Tensor]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    resident = HOST.adopt(nn.Identity(), torch.float32)
    with pytest.raises(RuntimeError, match=r"^GFPGANv1\.4 failed: CUDA error: an illegal") as caught:
        over_crops(HOST, resident, "GFPGANv1.4", torch.rand(2, 3, 4, 4), AtOnce(cpu=2, elsewhere=9), 10, run)
    assert not HOST.is_out_of_memory(caught.value)


def test_a_network_without_memory_is_named_too() -> None:
    def run(given: Tensor, chosen: slice) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    resident = HOST.adopt(nn.Identity(), torch.float32)
    with pytest.raises(MemoryError, match=r"^Out of memory in GFPGANv1\.4"):
        over_crops(HOST, resident, "GFPGANv1.4", torch.rand(2, 3, 4, 4), AtOnce(cpu=2, elsewhere=9), 10, run)
