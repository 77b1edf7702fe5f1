"""From finished networks back to ones that can be trained further."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..models.detectors.visage_finder import Convolution

M = TypeVar("M", bound=nn.Module)


class _Moments:
    """Mean and variance of each channel over all that is heard."""

    def __init__(self) -> None:
        self.count, self.sums, self.squares = 0, torch.zeros(()).double(), torch.zeros(()).double()

    def hear(self, features: Tensor) -> None:
        rows = features.detach().transpose(0, 1).flatten(1).double()
        self.count += rows.shape[1]
        self.sums = self.sums.to(rows) + rows.sum(1)
        self.squares = self.squares.to(rows) + rows.square().sum(1)

    def told(self) -> tuple[Tensor, Tensor]:
        mean = self.sums / self.count
        return mean.float(), (self.squares / self.count - mean.square()).clamp(min=0).float()


@torch.no_grad()
def unfused_into(trained: M, plain: nn.Module, inputs: Iterable[Tensor]) -> M:
    """Gives a network with batch normalisation the function of a finished one without, in place.

    The inverse of :func:`~..models.detectors.visage_finder.fused_into`: each normalisation takes the mean and the
    variance of what its convolution gives for ``inputs``, and puts both back. In training mode, where the statistics
    are those of a batch, the function is nearly the same.

    Args:
        plain: the same network as ``trained``, but for the normalisations in its :class:`Convolution`.
        inputs: batches of what it will be trained on.
    """
    convolutions = {name: module[0] for name, module in plain.named_modules() if isinstance(module, Convolution)}
    heard = {name: _Moments() for name in convolutions}
    hooks = [module.register_forward_hook(_listener(heard[name])) for name, module in convolutions.items()]
    for batch in inputs:
        plain(batch)
    for hook in hooks:
        hook.remove()
    own = trained.state_dict()
    own |= {name: value for name, value in plain.state_dict().items() if name in own}
    for name, module in trained.named_modules():
        if isinstance(module, Convolution) and isinstance(norm := module[1], nn.BatchNorm2d):
            mean, variance = heard[name].told()
            own[f"{name}.1.running_mean"] = mean - convolutions[name].get_parameter("bias")
            own[f"{name}.1.running_var"] = variance
            own[f"{name}.1.weight"] = (variance + norm.eps).sqrt()
            own[f"{name}.1.bias"] = mean
    trained.load_state_dict(own)
    return trained


def _listener(moments: _Moments) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
    def listen(module: nn.Module, inputs: tuple[Any, ...], features: Tensor) -> None:
        moments.hear(features)

    return listen
