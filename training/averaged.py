"""What the trainings of both networks of the detector share: weights, their running mean, optimiser, checkpoints."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from .schedule import Average, cosine
from .unfused import unfused_into

_AVERAGE = 0.999
# Gradients of the first steps, when boxes are wild, are longer than this; later ones are not.
_LONGEST_GRADIENT = 10.0

M = TypeVar("M", bound=nn.Module)


class AveragedTraining(ABC, Generic[M]):
    """A network that AdamW trains, at a rate that falls along a cosine.

    Attributes:
        network: what is trained.
        average: the running mean of its weights, which is what gets shipped.
    """

    def __init__(self, network: M, device: torch.device, rate: float, weight_decay: float) -> None:
        self.network = network
        # The stubs of torch know only the layout of tensors here.
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network, _AVERAGE)
        self._rate = rate
        self._optimiser = torch.optim.AdamW(self.network.parameters(), rate, weight_decay=weight_decay)

    def advance(self, loss: Tensor, number: int, steps: int, warm_up: int) -> None:
        """Step ``number`` of ``steps``, down the gradient of ``loss``."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * cosine(number, steps, warm_up)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _LONGEST_GRADIENT)
        self._optimiser.step()
        self.average.update(self.network, number + 1)

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the weights of a network like this one, such as the averaged ones of another run."""
        for module in (self.network, self.average.module):
            module.load_state_dict(weights)

    def go_on_from(self, finished: nn.Module) -> None:
        """Takes the function of a finished network, as it is shipped."""
        finished = copy.deepcopy(finished).to(next(self.network.parameters()).device)
        self.begin_with(unfused_into(copy.deepcopy(self.network), finished, self.measuring()).state_dict())

    @abstractmethod
    def measuring(self) -> Iterator[Tensor]:
        """Batches of inputs from which statistics are taken."""

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.module.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
