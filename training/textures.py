"""Pictures without faces: generated patterns, and photographs that come with scikit-image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .pictures import generator_of, read_picture

# Looked at one by one: none shows a face of a person, and the cat (chelsea) is a face that must not be found. Those
# for measuring are of other things than those for training.
TRAINING_PICTURES = (
    "brick.png",
    "grass.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "clock_motion.png",
    "motorcycle_left.png",
    "text.png",
    "ihc.png",
    "cell.png",
    "chessboard_RGB.png",
    "color.png",
)
MEASURING_PICTURES = (
    "gravel.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "page.png",
    "moon.png",
    "retina.jpg",
    "horse.png",
    "logo.png",
)


def library_pictures(names: Sequence[str]) -> list[Tensor]:
    """Pictures of scikit-image by file name, ``[3, H, W]`` uint8."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    return [read_picture(folder / name) for name in names]


def generated(count: int, side: int, seed: int) -> Tensor:
    """``[count, 3, side, side]`` uint8: clouds, stripes, discs, writing and so on in turn, in two colours."""
    patterns = []
    for number in range(count):
        generator = generator_of(seed, number)
        share = _PATTERNS[number % len(_PATTERNS)](side, generator)
        colours = torch.rand(2, 3, 1, 1, generator=generator)
        patterns.append(colours[0] * share + colours[1] * (1 - share))
    return torch.stack(patterns).mul_(255).round_().byte()


def _clouds(side: int, generator: torch.Generator) -> Tensor:
    """Noise of many scales, each half as strong as the one twice as large."""
    clouds = torch.zeros(1, 1, side, side)
    cells, strength = 2, 1.0
    while cells < side:
        noise = torch.rand(1, 1, cells, cells, generator=generator) - 0.5
        clouds += strength * F.interpolate(noise, (side, side), mode="bicubic", align_corners=False)
        cells, strength = cells * 2, strength * 0.5
    return _stretched(clouds[0, 0])


def _gradient(side: int, generator: torch.Generator) -> Tensor:
    along, _ = _turned_axes(side, generator)
    return _stretched(along)


def _stripes(side: int, generator: torch.Generator) -> Tensor:
    along, _ = _turned_axes(side, generator)
    return _stretched(torch.sin(along * _between(4, 0.7 * side, generator)))


def _grille(side: int, generator: torch.Generator) -> Tensor:
    along, across = _turned_axes(side, generator)
    return _stretched(torch.sin(along * _between(4, 80, generator)) * torch.sin(across * _between(4, 80, generator)))


def _discs(side: int, generator: torch.Generator) -> Tensor:
    """Discs by threes and more, as eyes and a mouth lie, or buttons, or lamps."""
    picture = torch.full((side, side), _between(0, 1, generator))
    axis = torch.linspace(-1, 1, side)
    for _ in range(int(_between(3, 20, generator))):
        x, y = (_between(-1, 1, generator) for _ in range(2))
        wide, high = (_between(0.02, 0.3, generator) for _ in range(2))
        inside = ((axis[None] - x) / wide).square() + ((axis[:, None] - y) / high).square() < 1
        picture[inside] = _between(0, 1, generator)
    return picture


def _writing(side: int, generator: torch.Generator) -> Tensor:
    """Rows of short strokes, as a page of text looks from afar."""
    line = int(_between(4, side / 10, generator))
    strokes = (torch.rand(side // line + 1, side // max(1, line // 4) + 1, generator=generator) < 0.55).float()
    page = F.interpolate(strokes[None, None], (side, side), mode="nearest")[0, 0]
    page[torch.arange(side) % line >= max(1, int(0.6 * line))] = 0
    return page


def _noise(side: int, generator: torch.Generator) -> Tensor:
    cells = int(_between(8, side, generator))
    return F.interpolate(torch.rand(1, 1, cells, cells, generator=generator), (side, side), mode="nearest")[0, 0]


def written(count: int, side: int, seed: int) -> Tensor:
    """``[count, 3, side, side]`` uint8: pages of made-up words, dark on light or light on dark, turned a little."""
    return torch.stack([_page(side, generator_of(seed, number)) for number in range(count)])


def _page(side: int, generator: torch.Generator) -> Tensor:
    """``[3, side, side]`` uint8."""
    import cv2

    # A font and its weight, 400 being the usual one; sizes from small print to headlines of which few letters are seen.
    font = cv2.FontFace(_FONTS[int(_between(0, len(_FONTS), generator))])
    weight = int(_between(200, 900, generator))
    size = int(8 * (0.5 * side / 8) ** _between(0, 1, generator))
    paper, ink = (torch.rand(3, generator=generator) * 0.4 + shade for shade in (0.6, 0.0))
    if _between(0, 1, generator) < 0.3:
        paper, ink = ink, paper
    # Grey more often than not, as print is.
    if _between(0, 1, generator) < 0.6:
        paper, ink = paper.mean().expand(3), ink.mean().expand(3)
    page = (paper * 255).expand(side, side, 3).byte().contiguous().numpy()
    colour = tuple(int(value) for value in ink * 255)
    line = size * _between(1.1, 1.8, generator)
    for row in range(int(side / line) + 2):
        letters = torch.randint(len(_LETTERS), (2 * side // size + 8,), generator=generator).tolist()
        left = int(_between(-size, size / 2, generator))
        words = "".join(_LETTERS[letter] for letter in letters)
        cv2.putText(page, words, (left, int((row + 0.5) * line)), colour, font, size, weight)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), _between(-12, 12, generator), 1.1)
    turned = cv2.warpAffine(page, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(turned).permute(2, 0, 1)


_FONTS = ("sans", "italic")
# About as often as in writing; a fifth are spaces.
_LETTERS = "eeetttaaaooonnniiisssrrhhdlcumfpgwybvkxjqz" + 10 * " " + "AEGRTSOBQD0123456789.,-()&@%?!"


_PATTERNS: tuple[Callable[[int, torch.Generator], Tensor], ...] = (
    _clouds,
    _gradient,
    _stripes,
    _grille,
    _discs,
    _writing,
    _noise,
)


def _turned_axes(side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two coordinates ``[side, side]`` at right angles, turned together by any angle."""
    angle = _between(0, math.pi, generator)
    axis = torch.linspace(-1, 1, side)
    x, y = axis[None], axis[:, None]
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _between(least: float, most: float, generator: torch.Generator) -> float:
    return least + (most - least) * float(torch.rand((), generator=generator))


def _stretched(values: Tensor) -> Tensor:
    least, most = values.amin(), values.amax()
    return (values - least) / (most - least).clamp(min=1e-6)
