"""Trains the built-in restorer: ``python -m visage.training.restorer --out FOLDER``.

Given the same options again, it goes on from the checkpoint in the folder; ``--minutes`` ends a piece of the run.
Parts of faces come first, because many different ones in a step teach more than few whole ones; whole faces come last,
when the network also learns to keep who it is.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..models.restorers.visage import SIDE, VisageRestorer, layout
from ..models.restorers.visage.architecture import Block
from . import losses
from .batches import DegradedBatches
from .data import data_folder
from .discriminator import PatchDiscriminator
from .identity import Identity
from .muon import Muon
from .pictures import picture_files, read_pictures
from .restorer_settings import PRESETS, RestorerSettings
from .run import Pace, mixed, pick_device, run
from .schedule import Average, cosine

# Of the length of the gradient; usual lengths are a tenth of it.
_CLIP = 0.1

M = TypeVar("M", bound=nn.Module)


# The settings that the command line may change, by their types.
_WHOLE_NUMBERS = ("steps", "parts", "wholes", "shares", "part", "warm_up", "seed")
_NUMBERS = ("rate", "texture", "identity", "adversarial", "log_from", "whole_from")


@dataclass(frozen=True)
class _Lesson:
    """What a share of a batch teaches.

    Attributes:
        told: numbers to be told.
        restorer, judge: gradients of the weights of both networks; of the discriminator none where it is not there.
    """

    told: dict[str, Tensor]
    restorer: tuple[Tensor | None, ...]
    judge: tuple[Tensor | None, ...]


class RestorerJob:
    """The restorer in training.

    Attributes:
        network: what is trained.
        average: the running mean of its weights, which is what gets shipped.
    """

    def __init__(
        self,
        settings: RestorerSettings,
        faces: Tensor,
        identity: nn.Module,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """
        Args:
            faces: uint8 ``[N, 3, 512, 512]``, FFHQ-aligned.
            identity: makes embeddings ``[N, D]`` of length 1 of whole faces.
            start: weights to begin with, see :func:`begun_with`. ``None``: the network begins anew.

        Raises:
            ValueError: a discriminator with more than one share, or weights to begin with that do not fit.
        """
        if settings.shares > 1 and settings.adversarial:
            # Its spectral norms move whenever it looks: the order in which threads look would decide.
            raise ValueError("A discriminator takes batches of one share. Give shares 1, or adversarial 0.")
        self._chosen = settings
        self._device = device
        self._identity = identity.to(device).eval()
        generator = torch.Generator().manual_seed(settings.seed)
        fresh = VisageRestorer(settings.widths, settings.blocks, settings.normed).reset(generator)
        self.network = _placed(fresh if start is None else begun_with(fresh, start), device)
        self._batches = DegradedBatches(faces.to(device), self.network.unit, settings.sizes, settings.seed)
        self.average = Average(self.network, settings.decay)
        matrices, others = _by_kind(self.network)
        self._side_by_side = map if settings.shares == 1 else ThreadPoolExecutor(settings.shares).map
        self._muon = Muon(matrices, settings.rate, self._side_by_side)
        self._adam = _adam(others, settings.rate, (0.9, 0.99))
        self._discriminator = _placed(PatchDiscriminator(settings.discriminator_width, settings.seed), device)
        self._judge_adam = _adam(self._discriminator.parameters(), settings.rate, (0.5, 0.99))

    @property
    def steps(self) -> int:
        return self._chosen.steps

    @property
    def settings(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self._chosen).items()
        }

    def state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "average": self.average.module,
            "muon": self._muon,
            "adam": self._adam,
            "discriminator": self._discriminator,
            "judge_adam": self._judge_adam,
        }

    def step(self, number: int) -> dict[str, Tensor]:
        """One batch: draws and degrades faces, and moves the restorer and the discriminator."""
        factor = cosine(number, self.steps, self._chosen.warm_up)
        for optimiser in (self._muon, self._adam, self._judge_adam):
            optimiser.param_groups[0]["lr"] = self._chosen.rate * factor
        shares = range(self._chosen.shares)
        lessons = list(self._side_by_side(lambda share: self._learn(number, share), shares))
        _advance((self._muon, self._adam), self.network, [lesson.restorer for lesson in lessons])
        self.average.update(self.network, number + 1)
        if self._adversarial_weight(number) > 0:
            _advance((self._judge_adam,), self._discriminator, [lesson.judge for lesson in lessons])
        return {name: torch.stack([lesson.told[name] for lesson in lessons]).mean(0) for name in lessons[0].told}

    def _learn(self, number: int, share: int) -> _Lesson:
        """What a share of the batch teaches; leaves all as it is."""
        chosen = self._chosen
        whole = number >= chosen.whole_from * self.steps
        shape = (chosen.wholes, SIDE) if whole else (chosen.parts, chosen.part)
        batch = self._batches.draw(number * chosen.shares + share, *shape)
        truth, damaged = batch.truth, batch.damaged
        with mixed(self._device):
            restored, _ = self.network.likeliest(damaged, batch.corners)
        restored = restored.float()
        if number >= chosen.log_from * self.steps:
            told = {"pixels": losses.log_error(restored, truth)}
        else:
            told = {"pixels": losses.relative_error(restored, truth, damaged)}
        if chosen.texture and number >= chosen.texture_from * self.steps:
            told["texture"] = chosen.texture * losses.texture_strength(restored, truth)
        if whole and chosen.identity:
            with torch.no_grad():
                wanted = self._identity(truth)
            told["identity"] = chosen.identity * losses.identity_loss(self._identity(restored), wanted)
        weight = self._adversarial_weight(number)
        if weight > 0:
            told["fooled"] = weight * losses.generator_loss(self._score(restored, damaged))
        restorer = _gradients(sum(told.values(), start=truth.new_zeros(())), self.network)
        judge: tuple[Tensor | None, ...] = ()
        if weight > 0:
            true, made = self._score(truth, damaged), self._score(restored.detach(), damaged)
            told["told apart"] = losses.discriminator_loss(true, made)
            judge = _gradients(told["told apart"], self._discriminator)
        with torch.no_grad():
            # A network that has collapsed and hands on its input has a loss that looks like any other.
            told["gained"] = losses.log_error(damaged, truth) - losses.log_error(restored, truth)
        return _Lesson({name: value.detach() for name, value in told.items()}, restorer, judge)

    def _score(self, images: Tensor, damaged: Tensor) -> Tensor:
        with mixed(self._device):
            scores: Tensor = self._discriminator(images, damaged)
        return scores.float()

    def _adversarial_weight(self, number: int) -> float:
        begun = number / self.steps - self._chosen.adversarial_from
        return self._chosen.adversarial * min(1.0, max(0.0, 10 * begun))


def begun_with(network: VisageRestorer, start: Mapping[str, Tensor]) -> VisageRestorer:
    """Gives a network the weights of another one, which may have fewer blocks.

    Blocks that the other does not have add nothing at first, so that both restore alike.

    Raises:
        ValueError: the other network has other widths, or blocks that this one has not.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Block):
                for layer in (module.gather, module.narrow):
                    layer.weight.zero_()
    own = network.state_dict()
    strange = [name for name, tensor in start.items() if name not in own or own[name].shape != tensor.shape]
    if strange:
        raise ValueError(f"The weights to start with do not fit: {', '.join(strange[:3])}. Give the same widths.")
    network.load_state_dict(start, strict=False)
    return network


def _placed(module: M, device: torch.device) -> M:
    """On the device, its kernels laid out with the channels last, which is quicker by half on CPUs too."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module.to(device)


def _by_kind(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Kernels of one or two by two places that mix channels, for :class:`~.muon.Muon`; and all other weights."""
    mixing = {
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.groups == 1 and max(layer.kernel_size) <= 2
    }
    weights = dict(network.named_parameters())
    return [weights.pop(name) for name in sorted(mixing)], list(weights.values())


def _adam(parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=1e-4, fused=True)


def _gradients(loss: Tensor, module: nn.Module) -> tuple[Tensor | None, ...]:
    """Of each weight of the module; ``None`` for those that had no part in the loss."""
    return torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)


def _advance(
    optimisers: Sequence[torch.optim.Optimizer], module: nn.Module, gradients: Sequence[Sequence[Tensor | None]]
) -> None:
    """Moves the module down the mean of the gradients of all shares."""
    for parameter, shares in zip(module.parameters(), zip(*gradients, strict=True), strict=True):
        some = [share for share in shares if share is not None]
        parameter.grad = sum(some[1:], start=some[0]) / len(shares) if some else None
    nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
    for optimiser in optimisers:
        optimiser.step()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m visage.training.restorer", description="Train the restorer.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; holds its checkpoint")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with faces512 and weights")
    parser.add_argument("--start", type=Path, metavar="FILE", help="exported weights to begin with; anew by default")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="cpu or gpu; by default what the device is")
    parser.add_argument("--device", help="cpu, cuda, ...; by default the best one")
    parser.add_argument("--threads", type=int, help="of the CPU, for each share; 1 where there are several")
    parser.add_argument("--minutes", type=float, help="stop after that time; the same command goes on")
    parser.add_argument("--faces", type=int, help="take only so many faces of the data")
    parser.add_argument("--blocks", type=int, nargs="+", help="at each resolution, instead of the preset's")
    for name in _WHOLE_NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="instead of the preset's")
    for name in _NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help="instead of the preset's")
    given = parser.parse_args(arguments)
    device = pick_device(given.device)
    settings = PRESETS[given.preset or ("cpu" if device.type == "cpu" else "gpu")]
    own = {name: vars(given)[name] for name in (*_WHOLE_NUMBERS, *_NUMBERS)}
    settings = replace(settings, **{name: value for name, value in own.items() if value is not None})
    if given.blocks:
        settings = replace(settings, blocks=tuple(given.blocks))
    if given.threads or settings.shares > 1:
        torch.set_num_threads(given.threads or 1)
    faces = read_pictures(picture_files(given.data / "faces512" / "train")[: given.faces])
    identity = Identity(given.data / "weights" / "MobileFaceNet.onnx")
    start = load_file(given.start) if given.start else None
    if start is not None:
        _, _, normed = layout(start)
        settings = replace(settings, normed=normed)
    job = RestorerJob(settings, faces, identity, device, start)
    run(job, given.out, Pace(minutes=given.minutes))


if __name__ == "__main__":
    main()
