"""Checkpoints of a run: everything that is needed to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..atomic import replacing

_FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint that does not belong to the run. The message names the file and says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps.

    Attributes:
        step: steps that are done.
        settings: what the run was started with, as plain data; a run with other settings must not go on from here.
        state: tensors and plain data of networks, optimisers and averages, nested in dicts and lists.
    """

    step: int
    settings: dict[str, Any]
    state: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint with the states of the global generators; the file is whole or stays the previous one."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": _FORMAT,
        "step": checkpoint.step,
        "settings": checkpoint.settings,
        "state": checkpoint.state,
        "generators": {"cpu": torch.get_rng_state(), "cuda": cuda},
    }
    with replacing(path) as unfinished:
        torch.save(content, unfinished)


def load(path: Path, settings: dict[str, Any] | None = None) -> Checkpoint:
    """Reads a checkpoint on the CPU, and sets the global generators as they were.

    Args:
        settings: those of the run that is to go on; ``None`` to take any.

    Raises:
        CheckpointError: no checkpoint of this format, or one of a run with other settings.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of this version. Start the run anew in another folder.")
    checkpoint = Checkpoint(content["step"], content["settings"], content["state"])
    if settings is not None and settings != checkpoint.settings:
        changed = sorted(
            name
            for name in settings.keys() | checkpoint.settings.keys()
            if settings.get(name) != checkpoint.settings.get(name)
        )
        raise CheckpointError(
            f"{path} is of a run with other settings ({', '.join(changed)}). Give the same ones, or another folder."
        )
    torch.set_rng_state(content["generators"]["cpu"])
    states = content["generators"]["cuda"]
    if states and len(states) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states)
    return checkpoint
