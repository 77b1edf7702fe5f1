"""How good restored faces are, in numbers, and these numbers in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor

from ..models.restorers.visage.bands import SIGMAS
from .texture import energies


@dataclass(frozen=True)
class Measures:
    """One restored face against the true one.

    Attributes:
        level: what it was degraded by.
        method: what restored it.
        picture: name of the picture.
        psnr: dB, over all pixels and channels.
        identity: cosine between the embeddings.
        texture: energy above the Gaussian of the widest band over the truth's.
        texture_bands: the same for each band of :data:`~..models.restorers.visage.bands.SIGMAS`, the finest first.
        changed: mean absolute difference from the degraded picture, levels of 255.
    """

    level: str
    method: str
    picture: str
    psnr: float
    identity: float
    texture: float
    texture_bands: tuple[float, ...]
    changed: float

    @property
    def group(self) -> str:
        """The part of the picture's name before its number: ``female_asian`` and the like."""
        return self.picture.rstrip("0123456789").rstrip("_-")


@torch.no_grad()
def measure(
    level: str,
    method: str,
    names: Sequence[str],
    pictures: tuple[Tensor, Tensor, Tensor],
    identity: Callable[[Tensor], Tensor],
) -> list[Measures]:
    """Measures a batch.

    Args:
        pictures: the truth, what it was degraded to, and what it was restored to; each ``[N, 3, 512, 512]``, 0..1.
        identity: embeddings of length 1.
    """
    truth, damaged, restored = pictures
    errors = (restored - truth).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    cosines = (identity(restored) * identity(truth)).sum(dim=1)
    there, wanted = energies(restored), energies(truth)
    whole = there.sum(dim=1) / wanted.sum(dim=1)
    changed = (restored - damaged).abs().mean(dim=(1, 2, 3)) * 255
    return [
        Measures(
            level,
            method,
            name,
            psnr=float(-10 * errors[index].log10()),
            identity=float(cosines[index]),
            texture=float(whole[index]),
            texture_bands=tuple((there[index] / wanted[index]).tolist()),
            changed=float(changed[index]),
        )
        for index, name in enumerate(names)
    ]


def _texture_of(band: int) -> Callable[[Measures], float]:
    return lambda one: one.texture_bands[band]


_COLUMNS: dict[str, Callable[[Measures], float]] = {
    "PSNR dB": lambda one: one.psnr,
    "identity": lambda one: one.identity,
    "texture": lambda one: one.texture,
    # Too much in one face does not make up for too little in the next.
    "off by": lambda one: abs(one.texture - 1),
    **{f"below {sigma:g} px": _texture_of(band) for band, sigma in enumerate(SIGMAS)},
    "changed": lambda one: one.changed,
}


def table(measures: Iterable[Measures], keys: Sequence[str]) -> str:
    """A Markdown table: means and standard deviations over the pictures of each combination of ``keys``.

    Args:
        keys: attributes of :class:`Measures`: ``level``, ``method``, ``group``.
    """
    rows = [
        "| " + " | ".join((*keys, "faces", *_COLUMNS)) + " |",
        "|" + " --- |" * len(keys) + " ---: |" * (1 + len(_COLUMNS)),
    ]
    for combination, members in _grouped(measures, keys).items():
        cells = [_cell([column(one) for one in members]) for column in _COLUMNS.values()]
        rows.append("| " + " | ".join((*combination, str(len(members)), *cells)) + " |")
    return "\n".join(rows)


def plain(measures: Iterable[Measures]) -> list[Mapping[str, object]]:
    """The same as data for JSON."""
    return [asdict(one) for one in measures]


def _cell(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ± {pstdev(values):.2f}"


def _grouped(measures: Iterable[Measures], keys: Sequence[str]) -> dict[tuple[str, ...], list[Measures]]:
    found: dict[tuple[str, ...], list[Measures]] = {}
    for one in measures:
        found.setdefault(tuple(str(getattr(one, key)) for key in keys), []).append(one)
    return found
