"""Measures restorers on faces that none was trained on, and shows some: tables, JSON and contact sheets."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.sampling import area_resize
from ..models.host import TorchHost
from ..models.restorers import load_restorer
from ..models.restorers.options import DEFAULT_OPTIONS, RestoreOptions
from .contact import write_picture
from .data import data_folder
from .degradation_recipes import LEVELS, DegradationRecipe, level_recipe
from .degradations import degrade
from .identity import Identity
from .pictures import as_float, generator_of, picture_files, read_pictures
from .restorer_measures import Measures, measure, plain, table

_logger = logging.getLogger(__name__)

SHARP = "sharp"
"""The level at which nothing is degraded: the less a restorer changes here, the better."""
_SEED = 1
_SIDE = 512

Method = Callable[[Tensor, DegradationRecipe], Tensor]
"""Restores one crop ``[3, 512, 512]``; the recipe says how large the face was."""


def as_they_are(damaged: Tensor, recipe: DegradationRecipe) -> Tensor:
    """What every restorer is compared with: nothing is done."""
    return damaged


def restoring(path: Path, host: TorchHost, fidelities: Sequence[float] = (0.5,)) -> dict[str, Method]:
    """Restores as the pipeline would: networks that take any picture get a crop of the size that suits the face.

    Returns:
        By name a method for each fidelity, or a single one for a network that knows none.
    """
    restorer = load_restorer(path, host)

    def method(options: RestoreOptions) -> Method:
        def restore(damaged: Tensor, recipe: DegradationRecipe) -> Tensor:
            crop = _sized(damaged, restorer.crop_size(_SIDE / recipe.shrink))
            return _sized(restorer.restore(crop[None], options)[0], _SIDE)

        return restore

    if not restorer.acts_on_fidelity:
        return {path.stem: method(DEFAULT_OPTIONS)}
    return {f"{path.stem}, fidelity {share:g}": method(RestoreOptions(fidelity=share)) for share in fidelities}


def _sized(image: Tensor, side: int) -> Tensor:
    """``[3, S, S]`` brought to another side: area-correct when shrinking, cubic when growing."""
    if image.shape[1] > side:
        return area_resize(image.permute(1, 2, 0).contiguous(), side, side).permute(2, 0, 1)
    if image.shape[1] < side:
        grown = F.interpolate(image[None], (side, side), mode="bicubic", align_corners=False)[0]
        return grown.clamp_(0, 1)
    return image


@dataclass(frozen=True)
class Example:
    """One face at one level: true, degraded, and restored by each method in turn; ``[3, 512, 512]`` each."""

    level: str
    pictures: tuple[Tensor, ...]


def evaluate(
    files: Sequence[Path], methods: dict[str, Method], identity: Identity, shown: int = 0
) -> tuple[list[Measures], list[Example]]:
    """Degrades every face at every level, the same way each time, restores and measures it.

    Args:
        files: crops of 512 pixels, FFHQ-aligned.
        methods: by name.
        identity: on the CPU.
        shown: how many faces to give back as examples, spread evenly over the files.
    """
    found: list[Measures] = []
    examples: list[Example] = []
    wanted = {round(place * (len(files) - 1) / max(1, shown - 1)) for place in range(shown)}
    for index, file in enumerate(files):
        truth = as_float(read_pictures([file]))
        recipes: dict[str, DegradationRecipe] = {level: level_recipe(level, index) for level in LEVELS}
        for level, recipe in (recipes | {SHARP: DegradationRecipe()}).items():
            damaged = degrade(truth, [recipe], generator_of(_SEED, index))
            restored = {name: method(damaged[0], recipe) for name, method in methods.items()}
            for name, picture in restored.items():
                found += measure(level, name, [file.stem], (truth, damaged, picture[None]), identity)
            if index in wanted:
                examples.append(Example(level, (truth[0], *restored.values())))
    return found, examples


def contact_sheet(examples: Sequence[Example]) -> Tensor:
    """uint8 ``[rows * 512, columns * 512, 3]``: a face in each row, at 100 %."""
    rows = [torch.cat(example.pictures, dim=2) for example in examples]
    return (torch.cat(rows, dim=1) * 255).round_().clamp_(0, 255).byte().permute(1, 2, 0)


def report(measures: Sequence[Measures], titles: Sequence[str]) -> str:
    """The tables: all faces together, then the groups."""
    lines = [
        "# Restored faces",
        "",
        f"{len({one.picture for one in measures})} faces of 512 pixels. Means and standard deviations over the faces.",
        "Texture is the energy above a Gaussian over the truth's: 1 is right; noise counts as texture, too.",
        f"Columns of the contact sheets: {', '.join(titles)}.",
        "",
        table(measures, ("level", "method")),
        "",
        "## By group",
        "",
        table(measures, ("level", "method", "group")),
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m visage.training.evaluate restorer", description="Measure restorers on faces of the val set."
    )
    parser.add_argument("weights", type=Path, nargs="+", help="files of restorers")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and sheets")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with faces512 and weights")
    parser.add_argument("--device", help="cpu, cuda, ...; by default the best one")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--fidelities", type=float, nargs="+", default=[0.5], help="of networks that know such a thing")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th face")
    parser.add_argument("--shown", type=int, default=6, help="faces on a contact sheet")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    host = TorchHost(given.device, quiet=True)
    methods: dict[str, Method] = {"degraded": as_they_are}
    for path in given.weights:
        methods |= restoring(path, host, given.fidelities)
    files = picture_files(given.data / "faces512" / "val")[:: given.every]
    identity = Identity(given.data / "weights" / "MobileFaceNet.onnx")
    measures, examples = evaluate(files, methods, identity, given.shown)
    given.out.mkdir(parents=True, exist_ok=True)
    text = report(measures, ("truth", *methods))
    (given.out / "restorer.md").write_text(text, encoding="utf-8")
    (given.out / "restorer.json").write_text(json.dumps(plain(measures)), encoding="utf-8")
    _write_sheets(examples, given.out)
    _logger.info("%s", table(measures, ("level", "method")))


def _write_sheets(examples: Sequence[Example], folder: Path) -> None:
    for level in dict.fromkeys(example.level for example in examples):
        sheet = contact_sheet([example for example in examples if example.level == level])
        write_picture(folder / f"restorer_{level}.png", sheet.permute(2, 0, 1))


if __name__ == "__main__":
    main()
