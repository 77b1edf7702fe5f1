"""What Pillow cannot do with pictures: 16 bits a channel, and transparency in BMP.

OpenCV reads and writes the samples; the metadata, which it drops, is put in here.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .metadata import Metadata

Samples = NDArray[np.uint8] | NDArray[np.uint16]

_PNG_SIGNATURE = 8
_SWAPPED = [2, 1, 0, 3]  # OpenCV keeps blue first


def decode(data: bytes) -> NDArray[np.uint16]:
    """The samples of a 16-bit PNG or TIFF as ``[H, W, C]``: grey, RGB or RGBA. A TIFF comes out upright.

    Raises:
        ValueError: OpenCV cannot read it as 16 bits a channel.
    """
    import cv2

    as_stored = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    samples: NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), as_stored)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError("not readable as 16 bits a channel")
    return samples[..., None] if samples.ndim == 2 else samples[..., _SWAPPED[: samples.shape[2]]]


def encode_png(samples: Samples, metadata: Metadata) -> bytes:
    """A PNG file of ``[H, W, C]`` samples: grey or RGB, each with or without alpha."""
    coded = _coded_by_opencv(".png", samples)
    header_end = _PNG_SIGNATURE + 25  # IHDR: length, type, 13 bytes, checksum
    return coded[:header_end] + _png_metadata(metadata) + coded[header_end:]


def encode_bmp(samples: Samples) -> bytes:
    """A BMP file of ``[H, W, 4]`` samples of 8 bits, which says that the fourth is alpha; Pillow's does not."""
    return _coded_by_opencv(".bmp", samples)


def _coded_by_opencv(suffix: str, samples: Samples) -> bytes:
    import cv2

    if samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]  # OpenCV has no grey with alpha
    ordered = samples[..., _SWAPPED[: samples.shape[2]]] if samples.shape[2] > 1 else samples
    coded: Samples = cv2.imencode(suffix, np.ascontiguousarray(ordered))[1]
    return coded.tobytes()


def _png_metadata(metadata: Metadata) -> bytes:
    """The chunks that Pillow writes for the metadata, taken out of a PNG of one pixel."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG", **png_options(metadata))
    coded, at, chunks = file.getvalue(), _PNG_SIGNATURE, []
    while at < len(coded):
        length, kind = struct.unpack_from(">L4s", coded, at)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            chunks.append(coded[at : at + 12 + length])
        at += 12 + length
    return b"".join(chunks)


def png_options(metadata: Metadata) -> dict[str, object]:
    """What Pillow's PNG writer is given to write the metadata."""
    options: dict[str, object] = {
        "pnginfo": metadata.png_text(),
        "icc_profile": metadata.icc,
        "exif": metadata.marked_exif,
        "dpi": metadata.dpi,
    }
    return {name: value for name, value in options.items() if value is not None}


def encode_tiff(samples: Samples, metadata: Metadata) -> bytes:
    """A TIFF file of ``[H, W, C]`` samples of 8 or 16 bits: grey or RGB, each with or without alpha.

    Written here, as one strip compressed with Deflate after horizontal differencing (TIFF 6.0, section 14), because
    OpenCV writes neither a profile nor what a fourth channel means, and Pillow writes 8 bits only.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]
    strip = zlib.compress(differences.astype(samples.dtype.newbyteorder("<")).tobytes())

    directory = ImageFileDirectory_v2(prefix=b"II")
    directory[256], directory[257] = width, height
    directory[258] = (8 * samples.itemsize,) * channels
    directory[259] = 8  # compression: Deflate
    directory[262] = 2 if channels > 2 else 1  # RGB, or grey where 0 is black
    directory[273], directory[278], directory[279] = 0, height, len(strip)  # Pillow adds where the strip begins
    directory[277] = channels
    directory[284], directory[317] = 1, 2  # interleaved, horizontal differences
    if channels in (2, 4):
        directory[338] = 2  # the last channel is alpha, not multiplied in
    if metadata.dpi is not None:
        directory[282], directory[283] = metadata.dpi
        directory[296] = 2  # inches
    if metadata.icc is not None:
        directory[34675] = metadata.icc
    if metadata.xmp is not None:
        directory[700] = metadata.xmp
    for tag, value in metadata.exif_folders().items():
        directory[tag] = value
    file = io.BytesIO()
    directory.save(file)
    file.write(strip)
    return file.getvalue()
