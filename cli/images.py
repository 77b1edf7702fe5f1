"""Reading and writing picture files without losing what is in them.

PNG, JPEG, WebP, TIFF and BMP. Pixels become float RGB and go back to the depth they came with, and a pixel that was
not changed comes back as it was wherever the format itself loses nothing. Pillow reads 8 bits a channel, OpenCV 16;
:mod:`.encoders` makes the files.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..atomic import replacing
from .encoders import BLUE_FIRST, Format, Samples, encode
from .metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

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
_FORMATS = tuple(sorted(set(SUFFIXES.values())))
# Colours of less than half a level of 8 bits are what calculating left, as matching the colour of a grey face does.
_COLOURLESS = 0.5 / 255

# What Pillow raises over damaged files of these formats; found by cutting and flipping bytes of real ones.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error)


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
        with warnings.catch_warnings():
            # Of half the size that is refused, and of metadata that is damaged while the pixels are not.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            _refuse_several(image)
            image.load()
            return _picture(image, data)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large. {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: no PNG, JPEG, WebP, TIFF or BMP that can be read, or damaged.") from error
    except _UnsupportedError as error:
        raise ImageError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise ImageError(f"{path}: damaged or cut short ({error}).") from error


def save_image(path: Path, picture: Picture) -> None:
    """Writes one picture, in the format of the suffix. Folders are made; a file that is there is replaced.

    JPEG: quality 95 without chroma subsampling. WebP: without loss if it came so, else quality 95. 16 bits a channel
    are kept in PNG and TIFF. The file appears under its name only when it is whole.

    Raises:
        ImageError: the format cannot hold the picture, or the disk does not take it.
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
        coded = encode(samples, fmt, metadata, picture.lossless)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_bytes(coded)
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


class _UnsupportedError(Exception):
    """A sound file that is stored in a way Visage does not keep."""


def _refuse_several(image: ImageFile) -> None:
    """Pages that are smaller versions of the first (TIFF 6.0, NewSubfileType) do not count."""
    pages = getattr(image, "n_frames", 1)
    if image.format == "MPO" or pages == 1:
        return
    if image.format == "TIFF":
        others = []
        for page in range(1, pages):
            image.seek(page)
            others.append(_tags(image).get(254, 0) & 1)
        image.seek(0)
        if all(others):
            return
    raise _UnsupportedError(f"holds {pages} pictures (animation or pages). Save the one you want as its own file.")


def _picture(image: ImageFile, data: bytes) -> Picture:
    depth = _depth(image, data)
    metadata, orientation = read_metadata(image)
    if depth == 16:
        samples, grey = _deep_samples(image, data)
    else:
        samples, grey = _shallow_samples(image)
        if image.mode == "CMYK":
            metadata = metadata.for_colours(3)
    values = torch.from_numpy(_turned(samples, orientation).astype(np.float32) / (2**depth - 1))
    pixels, alpha = values[..., :3], values[..., 3] if values.shape[-1] == 4 else None
    if alpha is not None and depth == 16 and _tags(image).get(338) == (1,):
        pixels = (pixels / alpha[..., None].clamp(min=1 / 65535)).clamp(0, 1)  # alpha was multiplied in
    return Picture(
        pixels=pixels.contiguous(),
        alpha=alpha.contiguous() if alpha is not None else None,
        depth=depth,
        format="JPEG" if image.format == "MPO" else cast(Format, image.format),
        grey=grey,
        lossless=image.format == "WEBP" and _webp_is_lossless(data),
        metadata=metadata,
    )


def _depth(image: ImageFile, data: bytes) -> Literal[8, 16]:
    if image.format == "PNG":
        return 16 if data[24] == 16 else 8  # the IHDR chunk comes first
    if image.format != "TIFF":
        return 8
    tags = _tags(image)
    bits, kinds = (np.atleast_1d(tags.get(tag, 1)) for tag in (258, 339))
    if bits.max() <= 8:
        return 8
    if bits.max() != 16 or (kinds != 1).any():
        raise _UnsupportedError(f"holds {bits.max()} bits a channel in an unsupported form. Save it with 8 or 16 bits.")
    if tags.get(262) not in (0, 1, 2) or (tags.get(284, 1) != 1 and tags.get(277, 1) != 1):
        raise _UnsupportedError("is a 16-bit TIFF with other than interleaved grey or RGB channels. Save it as such.")
    return 16


def _tags(image: ImageFile) -> Any:
    """The tags of a TIFF by number; other formats have none."""
    return getattr(image, "tag_v2", {})


def _deep_samples(image: ImageFile, data: bytes) -> tuple[Samples, bool]:
    """RGB or RGBA samples of 16 bits, and whether the file is grey."""
    samples = _decoded_by_opencv(data)
    if image.format == "PNG":
        grey = data[25] in (0, 4)
    else:
        grey = samples.shape[2] == 1
        if _tags(image).get(262) == 0:
            samples = 65535 - samples
        if image.mode == "RGB":
            samples = samples[..., :3]  # further channels that are not said to be alpha
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples, grey


def _decoded_by_opencv(data: bytes) -> NDArray[np.uint16]:
    """The samples of a 16-bit PNG or TIFF as ``[H, W, C]``: grey, RGB or RGBA. A TIFF comes out upright.

    Raises ``ValueError`` where OpenCV cannot read it as 16 bits a channel.
    """
    import cv2

    as_stored = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    samples: NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), as_stored)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError("not readable as 16 bits a channel")
    return samples[..., None] if samples.ndim == 2 else samples[..., BLUE_FIRST[: samples.shape[2]]]


def _shallow_samples(image: Image) -> tuple[Samples, bool]:
    """RGB or RGBA samples of 8 bits, and whether the file is grey."""
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise _UnsupportedError(f"is stored as {image.mode}, which is not supported. Save it as RGB.")
    if image.mode == "CMYK":
        return np.asarray(_rgb_of_cmyk(image)), False
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB")), image.mode in ("1", "L", "LA")


def _rgb_of_cmyk(image: Image) -> Image:
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile is None:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise _UnsupportedError(f"has a colour profile that cannot be used ({error}).") from error
    assert converted is not None  # noqa: S101 - only in place is nothing returned
    return converted


def _turned(samples: Samples, orientation: int) -> Samples:
    """Applies an EXIF orientation (Exif 2.32, 4.6.4) to ``[H, W, C]``."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def _webp_is_lossless(data: bytes) -> bool:
    """Whether the pixels are in a VP8L chunk (WebP container specification)."""
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sL", data, at)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        at += 8 + length + length % 2
    return False


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
