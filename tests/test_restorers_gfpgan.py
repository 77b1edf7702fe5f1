"""GFPGAN's modulated convolution, which has two ways: one for a single picture in fp32, one for all else."""

from __future__ import annotations

import torch
from visage.models.restorers.gfpgan.architecture import _Demodulated


def test_half_precision_rounds_a_face_alone_as_it_does_among_others() -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        layer = _Demodulated(64, 64, 3, 32)
        layer.weight.normal_()
        images, styles, bias = torch.randn(2, 64, 32, 32), torch.randn(2, 32), torch.randn(1, 64, 1, 1)
        exact = layer(images, styles, bias, enlarge=False)
        assert float((layer(images[:1], styles[:1], bias, enlarge=False) - exact[:1]).abs().max()) < 1e-4
        coarse, given, bias = layer.bfloat16(), images.bfloat16(), bias.bfloat16()
        together = coarse(given, styles.bfloat16(), bias, enlarge=False)
        alone = coarse(given[:1], styles[:1].bfloat16(), bias, enlarge=False)
    assert torch.equal(alone, together[:1])
    assert float((together - exact).abs().mean()) > 1e-4
