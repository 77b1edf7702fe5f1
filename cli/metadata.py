"""What travels with the pixels of a picture file: colours, EXIF, XMP, IPTC, texts and resolution."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Exif, Image
    from PIL.PngImagePlugin import PngInfo

_EXIF_MARK = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_X_RESOLUTION = 0x011A
_EXIF_FOLDER = 0x8769
_GPS_FOLDER = 0x8825
# Tags of a TIFF file that describe the picture and not how it is stored (TIFF 6.0, sections 8 and 12):
# ImageDescription, Make, Model, Software, DateTime, Artist, Copyright.
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
_PNG_XMP = "XML:com.adobe.xmp"
# ImageMagick keeps EXIF there in PNG files. Pillow reads it.
_PNG_RAW_EXIF = "Raw profile type exif"
# Of the resources that Photoshop keeps in a JPEG those that describe the picture: IPTC, whether it is under copyright,
# a link on that, and the digest of the IPTC. Others tell of the file as it was, such as a thumbnail.
_RESOURCES = (0x0404, 0x040A, 0x040B, 0x0425)
_PHOTOSHOP_MARK = b"Photoshop 3.0\x00"
# Bytes in one segment of a JPEG beside its length (ITU-T T.81, B.1.1.4), and what stands before an XMP packet there.
_SEGMENT = 65533
_XMP_MARK = 29
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))([1-8])")


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file besides its pixels.

    Attributes:
        icc: the ICC profile that says which colours the pixel values stand for.
        exif: a TIFF structure, without the mark that JPEG puts before it.
        xmp: an XMP packet.
        text: texts of a PNG by keyword. ComfyUI and others keep the workflow there.
        dpi: pixels per inch, across and down.
        resources: those of Photoshop in a JPEG, by number; IPTC is the one 0x0404.
        comment: of a JPEG.
        colour_chunks: those of a PNG that say which colours the values stand for without a profile: gAMA, cHRM, sRGB.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None
    resources: dict[int, bytes] = field(default_factory=dict)
    comment: bytes | None = None
    colour_chunks: dict[bytes, bytes] = field(default_factory=dict)

    def for_jpeg(self) -> tuple[Metadata, tuple[str, ...]]:
        """Without what a JPEG has no room for, and the names of that."""
        lengths = {"EXIF": len(self.marked_exif or b""), "XMP": len(self.xmp or b"") + _XMP_MARK}
        too_long = tuple(name for name, length in lengths.items() if length > _SEGMENT)
        exif, xmp = (None if name in too_long else kept for name, kept in (("EXIF", self.exif), ("XMP", self.xmp)))
        return replace(self, exif=exif, xmp=xmp), too_long

    def for_colours(self, channels: int) -> Metadata:
        """Without the profile if it is made for another number of channels (ICC.1:2022, 7.2.6)."""
        space = b"GRAY" if channels == 1 else b"RGB "
        return self if self.icc is None or self.icc[16:20] == space else replace(self, icc=None)

    @property
    def marked_exif(self) -> bytes | None:
        return None if self.exif is None else _EXIF_MARK + self.exif

    def exif_folders(self) -> dict[int, object]:
        """The EXIF data as tags of a TIFF file, the folders in it as dictionaries."""
        from PIL import Image as Pillow

        exif = Pillow.Exif()
        if self.exif is not None:
            exif.load(self.exif)
        return _described(exif)

    def png_text(self) -> PngInfo:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for keyword, value in self.text.items():
            info.add_text(keyword, value)
        if self.xmp is not None:
            info.add_itxt(_PNG_XMP, self.xmp.decode("utf-8", "replace"))
        for name, chunk in self.colour_chunks.items():
            info.add(name, chunk)
        return info

    def jpeg_segments(self) -> bytes | None:
        """The resources of Photoshop as segments of a JPEG, one for each: so none has to be cut."""
        segments = []
        for number, data in self.resources.items():
            block = struct.pack(">4sHHL", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)
            body = _PHOTOSHOP_MARK + block
            if len(body) <= _SEGMENT:
                segments.append(struct.pack(">BBH", 0xFF, 0xED, len(body) + 2) + body)
        return b"".join(segments) or None


def read_metadata(image: Image) -> tuple[Metadata, int]:
    """The metadata of a loaded picture, told to be upright, and the EXIF orientation (1..8) it had before.

    Pillow has already turned a TIFF when it was loaded, so its orientation is always 1.
    """
    text = dict(getattr(image, "text", {}))
    exif, orientation = _upright_exif(_exif_block(image))
    xmp, orientation = _upright_xmp(_xmp_packet(image), orientation)
    for keyword in (_PNG_XMP, _PNG_RAW_EXIF):
        text.pop(keyword, None)
    metadata = Metadata(
        image.info.get("icc_profile"),
        exif,
        xmp,
        text,
        _resolution(image),
        _resources(image),
        image.info.get("comment") if image.format in ("JPEG", "MPO") else None,
        _colour_chunks(image) if image.format == "PNG" else {},
    )
    return metadata, 1 if image.format == "TIFF" else orientation


def _exif_block(image: Image) -> bytes | None:
    block: bytes | None = image.info.get("exif")
    if image.format == "TIFF":
        block = _exif_of_tiff(image)
    elif block is None and _PNG_RAW_EXIF in image.info:
        block = image.getexif().tobytes()
    return block.removeprefix(_EXIF_MARK) if block else None


def _exif_of_tiff(image: Image) -> bytes | None:
    from PIL import Image as Pillow

    kept = Pillow.Exif()
    kept.update(_described(image.getexif()))
    return kept.tobytes() if len(kept) else None


def _described(exif: Exif) -> dict[int, object]:
    """The tags that describe a picture, and the folders of tags as dictionaries."""
    folders = {tag: dict(exif.get_ifd(tag)) for tag in (_EXIF_FOLDER, _GPS_FOLDER) if tag in exif}
    return {tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif} | folders


def _upright_exif(block: bytes | None) -> tuple[bytes | None, int]:
    """Sets the orientation to 1 and unlinks the thumbnail, which shows the picture as it was.

    The bytes are changed in place, because writing the structure anew breaks the notes of camera makers, who point
    into it by position. A structure that cannot be followed is kept as it is.
    """
    if block is None or block[:2] not in (b"II", b"MM"):
        return block, 1
    order = "<" if block[:2] == b"II" else ">"
    changed = bytearray(block)
    orientation = 1
    try:
        (start,) = struct.unpack_from(order + "L", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHLH", block, entry)
            if (tag, kind) == (_ORIENTATION, 3):
                orientation = value if 1 <= value <= 8 else 1
                struct.pack_into(order + "H", changed, entry + 8, 1)
        if start + 2 + 12 * count + 4 <= len(block):
            struct.pack_into(order + "L", changed, start + 2 + 12 * count, 0)
    except struct.error:
        return block, 1
    return bytes(changed), orientation


def _xmp_packet(image: Image) -> bytes | None:
    xmp = image.info.get("xmp")
    return xmp.encode() if isinstance(xmp, str) else xmp


def _upright_xmp(packet: bytes | None, orientation: int) -> tuple[bytes | None, int]:
    """XMP repeats the orientation. Where EXIF does not tell it, this one counts, as in Pillow."""
    if packet is None:
        return None, orientation
    found = _XMP_ORIENTATION.search(packet)
    if found and orientation == 1:
        orientation = int(found[2])
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet), orientation


def _resolution(image: Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    if dpi is None or (image.format == "TIFF" and _X_RESOLUTION not in image.getexif()):
        return None  # Pillow reads 1 from a TIFF that tells nothing
    across, down = float(dpi[0]), float(dpi[1])
    return (across, down) if math.isfinite(across * down) and across > 0 and down > 0 else None


def _resources(image: Image) -> dict[int, bytes]:
    found = image.info.get("photoshop")
    if image.format not in ("JPEG", "MPO") or not isinstance(found, dict):
        return {}
    return {number: found[number] for number in _RESOURCES if isinstance(found.get(number), bytes)}


def _colour_chunks(image: Image) -> dict[bytes, bytes]:
    """As they were: Pillow gives their numbers (PNG, 11.3.2)."""
    chunks = {}
    gamma, places, intent = (image.info.get(name) for name in ("gamma", "chromaticity", "srgb"))
    if gamma is not None:
        chunks[b"gAMA"] = struct.pack(">L", round(gamma * 100_000))
    if places is not None and len(places) == 8:
        chunks[b"cHRM"] = struct.pack(">8L", *(round(place * 100_000) for place in places))
    if intent is not None:
        chunks[b"sRGB"] = bytes([intent])
    return chunks
