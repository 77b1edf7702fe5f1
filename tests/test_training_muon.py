"""The optimiser of the restorer's matrices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from visage.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_all_directions_count_about_the_same(shape: tuple[int, int]) -> None:
    first, last = (torch.linalg.qr(torch.randn(side, min(shape)))[0] for side in shape)
    before = torch.logspace(0, -2, min(shape))
    matrix = first * before @ last.mT
    after = torch.linalg.svdvals(orthogonal(matrix[None])[0])
    assert float(after.min()) > 0.6
    assert float(after.max()) < 1.4
    # The directions are those of the matrix: what made it a diagonal still does.
    diagonal = first.mT @ orthogonal(matrix[None])[0] @ last
    torch.testing.assert_close(diagonal, torch.diag(diagonal.diagonal()), atol=1e-3, rtol=0)


def test_matrices_of_a_batch_are_treated_alone() -> None:
    some = torch.randn(3, 8, 5)
    torch.testing.assert_close(orthogonal(some)[1], orthogonal(some[1:2])[0], atol=1e-5, rtol=1e-5)


def test_nothing_to_learn_moves_nothing() -> None:
    kernel = nn.Parameter(torch.randn(6, 4, 1, 1))
    before = kernel.detach().clone()
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel, nn.Parameter(torch.randn(3, 3, 1, 1))], 0.1).step()
    assert torch.equal(kernel, before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_weak_direction_is_followed_as_far_as_a_strong_one(layout: torch.memory_format) -> None:
    kernel = nn.Parameter(torch.randn(4, 3, 2, 2).contiguous(memory_format=layout))
    before = kernel.detach().clone()
    strong, weak = torch.zeros(4, 3, 2, 2), torch.zeros(4, 3, 2, 2)
    strong[0, 0, 0, 1], weak[2, 1, 1, 0] = 1.0, 0.02
    kernel.grad = (strong + weak).contiguous(memory_format=layout)
    Muon([kernel], 0.1).step()
    moved = before - kernel.detach()
    assert moved.sign().equal((strong + weak).sign())
    ratio = float(moved[0, 0, 0, 1] / moved[2, 1, 1, 0])
    assert 0.6 < ratio < 1.7
    # As far as AdamW would: a fifth of the rate per weight, were all directions there.
    assert float(moved.max()) == pytest.approx(0.1 * 0.2 * 12**0.5, rel=0.35)


def test_it_goes_on_as_if_it_had_never_stopped() -> None:
    def stepped(kernel: nn.Parameter, muon: Muon, first: int, last: int) -> None:
        for number in range(first, last):
            kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(number))
            muon.step()

    begin = torch.randn(5, 7, 1, 1)
    kernel = nn.Parameter(begin.clone())
    stepped(kernel, Muon([kernel], 0.1), 0, 4)
    other = nn.Parameter(begin.clone())
    muon = Muon([other], 0.1)
    stepped(other, muon, 0, 2)
    again = Muon([other], 0.3)
    again.load_state_dict(muon.state_dict())
    stepped(other, again, 2, 4)
    assert torch.equal(kernel, other)


def test_threads_give_the_bits_of_one() -> None:
    shapes = (4, 3, 1, 1), (9, 4, 1, 1), (4, 3, 1, 1), (2, 8, 2, 2)
    begin = [torch.randn(shape) for shape in shapes]
    alone, beside = ([nn.Parameter(tensor.clone()) for tensor in begin] for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        muons = Muon(alone, 0.1), Muon(beside, 0.1, pool.map)
        for _ in range(3):
            for one, other in zip(alone, beside, strict=True):
                one.grad = other.grad = torch.randn(one.shape)
            for muon in muons:
                muon.step()
    assert all(map(torch.equal, alone, beside))
    assert not any(map(torch.equal, alone, begin))
