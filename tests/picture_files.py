"""Picture files for tests: noise in any format, and what a file holds."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from visage.cli.images import Picture, load_image, save_image

RANDOM = np.random.default_rng(7)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
LOSSLESS = (".png", ".tif", ".bmp", ".webp")


def noise(*shape: int, depth: int = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    return RANDOM.integers(0, 2**depth, shape, dtype=np.uint8 if depth == 8 else np.uint16)


def levels(picture: Picture) -> NDArray[np.float32]:
    return picture.pixels.numpy() * (2**picture.depth - 1)


def store(path: Path, samples: NDArray[np.uint8], **options: object) -> Path:
    if path.suffix == ".webp":
        options = {"lossless": True, "exact": True, **options}
    Image.fromarray(samples).save(path, **options)
    return path


def saved(path: Path, pixels: torch.Tensor) -> Path:
    save_image(path, Picture(pixels))
    return path


def again(path: Path) -> Path:
    """Loads and saves a picture unchanged."""
    target = path.with_name(f"again-{path.name}")
    save_image(target, load_image(path))
    return target


def chunks(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(content):
        length, kind = struct.unpack_from(">L4s", content, at)
        found[kind] = content[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def png(samples: NDArray[np.uint16], colour: int, extra: bytes = b"") -> bytes:
    """A 16-bit PNG written by hand, for the kinds that no library here writes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">LLBBBBB", width, height, 16, colour, 0, 0, 0)
    transparency = chunk(b"tRNS", extra) if extra else b""
    body = chunk(b"IHDR", header) + transparency + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
