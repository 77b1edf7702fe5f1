"""From the bytes of picture files to samples and metadata: the way back from :mod:`.encoders`.

Pillow reads 8 bits a channel, OpenCV 16.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..opencv import opencv
from .encoders import BLUE_FIRST, Format, Samples
from .metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error)
"""What Pillow raises over damaged files of these formats; found by cutting and flipping bytes of real ones."""


class UnsupportedError(Exception):
    """A sound file that is stored in a way Visage does not keep."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What is in a picture file.

    Attributes:
        samples: ``[H, W, 3 or 4]``, RGB and perhaps alpha, upright.
        depth: bits of a sample.
        multiplied: alpha was multiplied into the colours.
        format: what the file is. Several views of one scene in a file of a phone are a JPEG.
        grey: the file has no colours.
        lossless: a WebP that was stored without loss.
    """

    samples: Samples
    depth: Literal[8, 16]
    multiplied: bool
    format: Format
    grey: bool
    lossless: bool
    metadata: Metadata


def decode(data: bytes) -> Decoded:
    """Reads a picture file.

    Raises:
        UnsupportedError: it holds several pictures, or stores one in a way that cannot be kept.
        PIL.UnidentifiedImageError: it is of none of the formats.
        PIL.Image.DecompressionBombError: it is too large.
        OSError and others: it is damaged, see :data:`DAMAGE`.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Of half the size that is refused, and of metadata that is damaged while the pixels are not.
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data), formats=get_args(Format))
        _refuse_several(image)
        image.load()
        return _decoded(image, data)


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
    raise UnsupportedError(f"holds {pages} pictures (animation or pages). Save the one you want as its own file.")


def _decoded(image: ImageFile, data: bytes) -> Decoded:
    depth = _depth(image, data)
    metadata, orientation = read_metadata(image)
    if depth == 16:
        samples, grey = _deep_samples(image, data)
    else:
        samples, grey = _shallow_samples(image)
        if image.mode == "CMYK":
            metadata = metadata.for_colours(3)
    return Decoded(
        samples=_turned(samples, orientation),
        depth=depth,
        multiplied=depth == 16 and _tags(image).get(338) == (1,),
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
        raise UnsupportedError(f"holds {bits.max()} bits a channel in an unsupported form. Save it with 8 or 16 bits.")
    if tags.get(262) not in (0, 1, 2) or (tags.get(284, 1) != 1 and tags.get(277, 1) != 1):
        raise UnsupportedError("is a 16-bit TIFF with other than interleaved grey or RGB channels. Save it as such.")
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

    Raises ``ValueError`` where OpenCV cannot read it as 16 bits a channel, ``MemoryError`` where memory is short.
    """
    cv2 = opencv()
    as_stored = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        samples: NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), as_stored)
    except cv2.error as error:  # neither a RuntimeError nor a MemoryError
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"not enough memory to read it: {error.err}") from error
        raise ValueError(f"beyond what OpenCV reads: {error.err}") from error
    if samples is None or samples.dtype != np.uint16:
        raise ValueError("not readable as 16 bits a channel")
    return samples[..., None] if samples.ndim == 2 else samples[..., BLUE_FIRST[: samples.shape[2]]]


def _shallow_samples(image: Image) -> tuple[Samples, bool]:
    """RGB or RGBA samples of 8 bits, and whether the file is grey."""
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise UnsupportedError(f"is stored as {image.mode}, which is not supported. Save it as RGB.")
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
        raise UnsupportedError(f"has a colour profile that cannot be used ({error}).") from error
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
