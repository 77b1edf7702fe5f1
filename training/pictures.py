"""Folders of pictures in memory, and draws from them that depend on nothing but a seed and the step."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

_SUFFIXES = (".webp", ".png", ".jpg", ".jpeg")
# Threads that read them.
_READERS = 2


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder and its subfolders, by name.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise FileNotFoundError(f"No pictures in {folder}.")
    return found


def read_picture(path: Path) -> Tensor:
    """uint8 ``[3, H, W]``, RGB."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is no picture that OpenCV reads.")
    return torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)


def read_pictures(files: list[Path]) -> Tensor:
    """uint8 ``[N, 3, H, W]``, RGB; all must be of one size. 2,000 of 512 pixels take 1.6 GB."""
    with ThreadPoolExecutor(_READERS) as pool:
        pictures = list(pool.map(read_picture, files))
    sizes = {tuple(picture.shape[1:]) for picture in pictures}
    if len(sizes) > 1:
        raise ValueError(f"Pictures of one size are needed, not of {len(sizes)} sizes.")
    return torch.stack(pictures)


def as_float(pictures: Tensor) -> Tensor:
    """uint8 to float32 0..1."""
    return pictures.float().div_(255)


def generator_of(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one step of a run."""
    return torch.Generator(device).manual_seed(random.Random(f"{seed}/{step}").getrandbits(62))  # noqa: S311


def _epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """Every picture once, in an order of that epoch."""
    order = list(range(count))
    random.Random(f"{seed}/epoch/{epoch}").shuffle(order)  # noqa: S311
    return order


def drawn(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Which pictures step ``step`` sees: batch after batch through shuffled epochs, each picture once in each."""
    first = step * batch
    epochs: dict[int, list[int]] = {}
    chosen = []
    for position in range(first, first + batch):
        epoch, place = divmod(position, count)
        if epoch not in epochs:
            epochs[epoch] = _epoch_order(count, seed, epoch)
        chosen.append(epochs[epoch][place])
    return chosen
