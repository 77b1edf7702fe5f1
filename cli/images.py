"""Reading and writing picture files without losing what is in them.

PNG, JPEG, WebP, TIFF and BMP. Pixels become float RGB and go back to the depth they came with, and a pixel that was
not changed comes back as it was wherever the format itself loses nothing. :mod:`.decoders` reads the files,
:mod:`.encoders` makes them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..atomic import replacing
from .decoders import DAMAGE, Decoded, UnsupportedError, decode
from .encoders import Format, Samples, encode
from .metadata import Metadata

SUFFIXES: dict[str, Format] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
# Colours of less than half a level of 8 bits are what calculating left, as matching the colour of a grey face does.
_COLOURLESS = 0.5 / 255


class ImageError(Exception):
    """A picture that cannot be read or written. The message names the file."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what came with it.

    Attributes:
        pixels: float32 ``[H, W, 3]``, RGB, 0..1, upright, in the colours of ``metadata.icc`` (sRGB where that is
            ``None``).
        alpha: float32 ``[H, W]``, 0..1, not multiplied into the pixels, or ``None``.
        depth: bits a channel, 8 or 16.
        format: what the file was. A picture is written as the suffix of its new name says, or as this where that has
            none.
        grey: the file had no colours. Written without, too, as long as the pixels still have none to be seen.
        lossless: a WebP was stored without loss.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    depth: Literal[8, 16] = 8
    format: Format = "PNG"
    grey: bool = False
    lossless: bool = False
    metadata: Metadata = field(default_factory=Metadata)


def load_image(path: Path) -> Picture:
    """Reads one picture.

    EXIF orientation is applied. CMYK is converted to sRGB by its profile. Palettes and bitmaps become RGB. Of the
    several views in the JPEG of a phone the first is taken; animations and files of several pages are refused, because
    writing one picture would drop the others.

    Raises:
        ImageError: no such file, none of the formats, damaged, too large, animated, or stored in a way that cannot be
            kept (32 bits a channel, 16-bit CMYK).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return _picture(decode(data))
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large. {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: no PNG, JPEG, WebP, TIFF or BMP that can be read, or damaged.") from error
    except UnsupportedError as error:
        raise ImageError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise ImageError(f"{path}: damaged or cut short ({error}).") from error


def save_image(path: Path, picture: Picture) -> None:
    """Writes one picture as :func:`encoded`. Folders are made; a file that is there is replaced. The file appears under
    its name only when it is whole.

    Raises:
        ImageError: the format cannot hold the picture, or the disk does not take it.
        ValueError: pixels are not finite, or alpha is of another size.
    """
    content = encoded(path, picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error}).") from error


def encoded(path: Path, picture: Picture) -> bytes:
    """What a picture file of that name holds, in the format of the suffix.

    JPEG: quality 95 without chroma subsampling. WebP: without loss if it came so, else quality 95. 16 bits a channel
    are kept in PNG and TIFF.

    Raises:
        ImageError: the format cannot hold the picture.
        ValueError: pixels are not finite, or alpha is of another size.
    """
    fmt = _format(path, picture)
    if picture.alpha is not None and picture.alpha.shape != picture.pixels.shape[:2]:
        raise ValueError(f"alpha is {tuple(picture.alpha.shape)}, the pixels are {tuple(picture.pixels.shape)}")
    check_format(path, picture)
    samples = _quantised(picture, 16 if picture.depth == 16 and fmt in ("PNG", "TIFF") else 8)
    metadata = picture.metadata.for_colours(1 if samples.shape[2] < 3 else 3)
    if fmt == "JPEG":
        metadata, _ = metadata.for_jpeg()
    try:
        return encode(samples, fmt, metadata, picture.lossless)
    except (OSError, ValueError, struct.error) as error:
        raise ImageError(f"{path}: cannot be written ({error}).") from error


def check_format(path: Path, picture: Picture) -> None:
    """Raises ``ImageError`` where the format that the suffix stands for cannot hold the picture."""
    if picture.alpha is not None and _format(path, picture) == "JPEG":
        raise ImageError(f"{path}: JPEG cannot hold the transparency of this picture. Name it .png or .webp.")


def left_out(path: Path, picture: Picture) -> tuple[str, ...]:
    """What of the metadata is too long for the format that the suffix stands for, and is not written."""
    return picture.metadata.for_jpeg()[1] if _format(path, picture) == "JPEG" else ()


def _format(path: Path, picture: Picture) -> Format:
    return SUFFIXES.get(path.suffix.lower(), picture.format)


def _picture(decoded: Decoded) -> Picture:
    values = torch.from_numpy(decoded.samples.astype(np.float32) / (2**decoded.depth - 1))
    pixels, alpha = values[..., :3], values[..., 3] if values.shape[-1] == 4 else None
    if alpha is not None and decoded.multiplied:
        pixels = (pixels / alpha[..., None].clamp(min=1 / 65535)).clamp(0, 1)
    return Picture(
        pixels=pixels.contiguous(),
        alpha=alpha.contiguous() if alpha is not None else None,
        depth=decoded.depth,
        format=decoded.format,
        grey=decoded.grey,
        lossless=decoded.lossless,
        metadata=decoded.metadata,
    )


def _quantised(picture: Picture, depth: int) -> Samples:
    """Samples ``[H, W, 1..4]`` of that depth, rounded half up; grey where the picture was and still is."""
    pixels = picture.pixels.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(pixels).all()):
        raise ValueError("the pixels hold values that are not finite")
    planes = [pixels]
    if picture.alpha is not None:
        planes.append(picture.alpha.detach().to("cpu", torch.float32)[..., None])
    top = 2**depth - 1
    values = (torch.cat(planes, dim=-1).clamp(0, 1) * top + 0.5).floor()
    samples: Samples = values.numpy().astype(np.uint16 if depth == 16 else np.uint8)
    if picture.grey and float((pixels.amax(-1) - pixels.amin(-1)).max()) < _COLOURLESS:
        return np.delete(samples, (1, 2), axis=2)
    return samples
