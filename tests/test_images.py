"""Picture files: what goes in comes out, in every format, with everything that was in the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo
from visage.cli.images import ImageError, Picture, left_out, load_image, save_image
from visage.tests.picture_files import GREY_PROFILE, LOSSLESS, SRGB, again, chunks, levels, noise, png, store

# Pixels


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("shape", [(7, 5, 3), (7, 5, 4), (1, 1, 3), (7, 5)], ids=["rgb", "rgba", "one pixel", "grey"])
def test_untouched_pixels_come_back_as_they_were(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    samples = noise(*shape)
    if suffix == ".bmp" and shape[-1] == 4:
        (tmp_path / "a.bmp").write_bytes(cv2.imencode(".bmp", samples[..., [2, 1, 0, 3]])[1].tobytes())
    else:
        store(tmp_path / f"a{suffix}", samples)
    picture = load_image(tmp_path / f"a{suffix}")
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.shape == (*shape[:2], 3)
    assert (picture.alpha is not None) == (shape[-1] == 4 and len(shape) == 3)
    with Image.open(again(tmp_path / f"a{suffix}")) as written, Image.open(tmp_path / f"a{suffix}") as source:
        assert written.format == source.format
        assert written.mode == source.mode
        assert np.array_equal(np.asarray(written), samples if suffix != ".webp" else np.asarray(source))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_come_back_as_they_were(suffix: str, channels: int, tmp_path: Path) -> None:
    samples = noise(9, 6, channels, depth=16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), samples)
    picture = load_image(tmp_path / f"a{suffix}")
    assert (picture.depth, picture.grey) == (16, channels == 1)
    if channels > 1:
        assert np.array_equal(np.rint(levels(picture)), samples[..., 2::-1])
    written = cv2.imread(str(again(tmp_path / f"a{suffix}")), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.array_equal(written.reshape(samples.shape), samples)


def test_every_16_bit_value_survives(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp)
    assert np.array_equal(cv2.imread(str(again(tmp_path / "ramp.png")), cv2.IMREAD_UNCHANGED), ramp)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    depth=st.sampled_from([8, 16]),
    alpha=st.booleans(),
    suffix=st.sampled_from([".png", ".tif"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(height=6, width=10, depth=16, alpha=False, suffix=".png", seed=3985710)
def test_any_picture_is_read_back_to_within_half_a_level(
    height: int, width: int, depth: int, alpha: bool, suffix: str, seed: int, tmp_path: Path
) -> None:
    values = torch.rand(height, width, 4, generator=torch.Generator().manual_seed(seed))
    picture = Picture(values[..., :3], values[..., 3] if alpha else None, depth=16 if depth == 16 else 8)
    save_image(tmp_path / f"a{suffix}", picture)
    found = load_image(tmp_path / f"a{suffix}")
    assert found.depth == depth
    # A value in float32 is itself known to within its rounding, which is 0.004 of the finer levels.
    most = 0.5 / (2**depth - 1) + torch.finfo(torch.float32).eps
    assert (found.pixels - picture.pixels).abs().max() <= most
    if picture.alpha is not None:
        assert found.alpha is not None
        assert (found.alpha - picture.alpha).abs().max() <= most
    else:
        assert found.alpha is None


def test_values_are_rounded_half_up_and_clipped(tmp_path: Path) -> None:
    values = torch.tensor([-0.5, 0.0, 0.49 / 255, 0.5 / 255, 1.49 / 255, 1.5 / 255, 254.6 / 255, 1.0, 1.7])
    save_image(tmp_path / "a.png", Picture(values[None, :, None].expand(1, 9, 3)))
    with Image.open(tmp_path / "a.png") as written:
        assert np.asarray(written)[0, :, 0].tolist() == [0, 0, 0, 1, 1, 2, 255, 255, 255]


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not finite"):
        save_image(tmp_path / "a.png", Picture(torch.full((2, 2, 3), float("nan"))))
    assert not list(tmp_path.iterdir())


def test_alpha_must_fit_the_pixels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="alpha is"):
        save_image(tmp_path / "a.png", Picture(torch.zeros(4, 4, 3), torch.zeros(2, 2)))


def test_a_grey_picture_stays_grey_until_it_gets_colour(tmp_path: Path) -> None:
    picture = load_image(store(tmp_path / "a.png", noise(6, 5), icc_profile=GREY_PROFILE))
    assert torch.equal(picture.pixels[..., 0], picture.pixels[..., 2])
    save_image(tmp_path / "grey.png", picture)
    # A tenth of a level is no colour, even where it is rounded to one.
    picture.pixels[1, 1] = torch.tensor([100.45, 100.45, 100.55]) / 255
    save_image(tmp_path / "rounded.png", picture)
    with Image.open(tmp_path / "rounded.png") as rounded:
        assert rounded.mode == "L" and rounded.getpixel((1, 1)) == 100
    picture.pixels[2, 2, 0] = 1 - picture.pixels[2, 2, 0].round()
    save_image(tmp_path / "coloured.png", picture)
    with Image.open(tmp_path / "grey.png") as grey, Image.open(tmp_path / "coloured.png") as coloured:
        assert (grey.mode, grey.info["icc_profile"]) == ("L", GREY_PROFILE)
        # A profile for one channel says nothing about three.
        assert (coloured.mode, "icc_profile" in coloured.info) == ("RGB", False)


def test_palettes_bitmaps_and_transparent_colours_become_rgb(tmp_path: Path) -> None:
    colours = Image.fromarray(noise(6, 5, 3)).quantize(8)
    colours.save(tmp_path / "p.png")
    colours.save(tmp_path / "t.png", transparency=0)
    Image.fromarray(noise(6, 5)).convert("1").save(tmp_path / "1.png")
    palette = load_image(tmp_path / "p.png")
    assert np.array_equal(np.rint(levels(palette)), np.asarray(colours.convert("RGB")))
    transparent = load_image(tmp_path / "t.png")
    assert transparent.alpha is not None
    assert np.array_equal(transparent.alpha.numpy(), np.asarray(colours) != 0)
    assert set(np.unique(levels(load_image(tmp_path / "1.png")))) == {0, 255}


def test_16_bit_png_of_rare_kinds(tmp_path: Path) -> None:
    grey_alpha = noise(4, 5, 2, depth=16)
    (tmp_path / "la.png").write_bytes(png(grey_alpha, 4))
    picture = load_image(tmp_path / "la.png")
    assert picture.grey
    assert picture.alpha is not None
    assert np.array_equal(np.rint(levels(picture)[..., 1]), grey_alpha[..., 0])
    assert np.array_equal(np.rint(picture.alpha.numpy() * 65535), grey_alpha[..., 1])
    back = load_image(again(tmp_path / "la.png"))
    assert torch.equal(back.pixels, picture.pixels)

    rgb = noise(4, 5, 3, depth=16)
    (tmp_path / "key.png").write_bytes(png(rgb, 2, rgb[0, 0].astype(">u2").tobytes()))
    keyed = load_image(tmp_path / "key.png")
    assert keyed.alpha is not None
    assert (keyed.alpha == 0).nonzero().tolist() == [[0, 0]]


def tiff(samples: NDArray[np.uint16], photometric: int = 2, extra: int | None = None, planar: int = 1) -> bytes:
    """An uncompressed 16-bit TIFF written by hand, little-endian."""
    height, width, channels = samples.shape
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    strip = samples.astype("<u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8 if channels > 1 else 16)]
    entries += [(259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, 8 + len(bits)), (277, 3, 1, channels)]
    entries += [(278, 3, 1, height), (279, 4, 1, len(strip)), (284, 3, 1, planar)]
    if extra is not None:
        entries.append((338, 3, 1, extra))
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return struct.pack("<2sHL", b"II", 42, 8 + len(bits) + len(strip)) + bits + strip + directory + bytes(4)


def test_16_bit_tiff_of_rare_kinds(tmp_path: Path) -> None:
    grey = noise(4, 5, 1, depth=16)
    (tmp_path / "negative.tif").write_bytes(tiff(grey, photometric=0))
    assert np.array_equal(np.rint(levels(load_image(tmp_path / "negative.tif")))[..., :1], 65535 - grey)

    premultiplied = np.array([[[3000, 6000, 30000, 30000], [0, 0, 0, 0]]], dtype=np.uint16)
    (tmp_path / "associated.tif").write_bytes(tiff(premultiplied, extra=1))
    picture = load_image(tmp_path / "associated.tif")
    assert picture.pixels[0].tolist() == [pytest.approx([0.1, 0.2, 1.0], abs=1e-4), [0, 0, 0]]

    (tmp_path / "spare.tif").write_bytes(tiff(noise(4, 5, 4, depth=16), extra=0))
    assert load_image(tmp_path / "spare.tif").alpha is None

    for name, content in {
        "cmyk.tif": tiff(noise(4, 5, 4, depth=16), photometric=5),
        "planar.tif": tiff(noise(4, 5, 3, depth=16), planar=2),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}.*16-bit TIFF"):
            load_image(tmp_path / name)


def test_the_tiff_writer_says_what_the_channels_are(tmp_path: Path) -> None:
    values = torch.rand(5, 4, 4)
    for depth in (8, 16):
        save_image(tmp_path / "a.tif", Picture(values[..., :3], values[..., 3], depth=16 if depth == 16 else 8))
        with Image.open(tmp_path / "a.tif") as written:
            assert (written.mode, written.tag_v2[338], written.tag_v2[258]) == ("RGBA", (2,), (depth,) * 4)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "deep.png", "deep.tif"])
def test_orientation_is_applied_once(name: str, orientation: int, tmp_path: Path) -> None:
    samples = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    tagged = Image.fromarray(samples)
    tagged.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    if name == "deep.tif":
        content = bytearray(tiff(samples.astype(np.uint16) * 257))
        # The planar configuration is the default: its place is taken by the orientation, which sorts before strips.
        content = content.replace(struct.pack("<HHLL", 284, 3, 1, 1), struct.pack("<HHLL", 274, 3, 1, orientation))
        (tmp_path / name).write_bytes(content)
    elif name == "deep.png":
        keys = [cv2.IMAGE_METADATA_EXIF]
        block = np.frombuffer(exif.tobytes()[6:], np.uint8)
        deep = samples[..., ::-1].astype(np.uint16) * 257
        (tmp_path / name).write_bytes(cv2.imencodeWithMetadata(".png", deep, keys, [block])[1].tobytes())
    else:
        store(tmp_path / name, samples, exif=exif)
    picture = load_image(tmp_path / name)
    assert np.array_equal(np.rint(picture.pixels.numpy() * 255), expected)
    written = again(tmp_path / name)
    assert torch.equal(load_image(written).pixels, picture.pixels)
    with Image.open(written) as image:
        assert image.getexif().get(0x0112, 1) == 1


def test_a_jpeg_of_a_phone_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    smooth = np.broadcast_to(np.linspace(0, 255, 48, dtype=np.uint8)[:, None, None], (48, 32, 3))
    store(tmp_path / "a.jpg", np.ascontiguousarray(smooth), exif=exif, quality=95, dpi=(300, 300))
    picture = load_image(tmp_path / "a.jpg")
    assert picture.pixels.shape == (32, 48, 3)
    assert picture.pixels[0, 0, 0] > 0.9
    assert picture.pixels[0, -1, 0] < 0.1
    with Image.open(again(tmp_path / "a.jpg")) as written:
        found = written.getexif()
        assert (found[0x0112], found[0x010F]) == (1, "Maker")
        assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert found.get_ifd(0x8825)[1] == "N"
        assert written.info["dpi"] == (300, 300)


def test_maker_notes_stay_in_place_and_the_thumbnail_goes(tmp_path: Path) -> None:
    """Notes of camera makers point into the EXIF block by position, so nothing in it may move."""
    entries = struct.pack("<HHLHH", 0x0112, 3, 1, 8, 0) + struct.pack("<HHLL", 0x927C, 7, 8, 60)
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + struct.pack("<L", 68)
    block = block.ljust(60, b"\0") + b"NOTENOTE" + struct.pack("<HL", 0, 0)
    store(tmp_path / "a.jpg", noise(8, 8, 3), exif=b"Exif\0\0" + block)
    content = again(tmp_path / "a.jpg").read_bytes()
    kept = content[content.index(b"Exif\0\0") + 6 :][: len(block)]
    different = [place for place in range(len(block)) if kept[place] != block[place]]
    assert different == [18, 34]  # the orientation, and the pointer to the folder of the thumbnail
    assert load_image(again(tmp_path / "a.jpg")).metadata.exif == kept


def test_the_orientation_in_xmp_follows(tmp_path: Path) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6">who made it</x:xmpmeta>'
    for name in ("a.jpg", "a.webp", "a.tif", "a.png"):
        options: dict[str, object] = {"xmp": packet}
        if name == "a.png":
            options = {"pnginfo": PngInfo()}
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())  # type: ignore[attr-defined]
        elif name == "a.tif":
            options = {"tiffinfo": {700: packet}}
        picture = load_image(store(tmp_path / name, noise(8, 6, 3), **options))
        assert picture.pixels.shape == (6, 8, 3), name
        written = again(tmp_path / name)
        assert load_image(written).pixels.shape == (6, 8, 3), name
        kept = load_image(written).metadata.xmp
        assert kept is not None
        assert b">who made it<" in kept
        assert b'Orientation="6"' not in kept


# Metadata


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "deep.png", "deep.tif"])
def test_profile_exif_and_resolution_are_kept(name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x8298] = "a photographer"
    exif[0x8769] = {0x829A: 0.004}
    resolution = {} if name == "a.webp" else {"dpi": (300, 150)}
    if name.startswith("deep"):
        plain = load_image(store(tmp_path / "plain.png", noise(5, 7, 3), exif=exif, icc_profile=SRGB, **resolution))
        deep = Picture(plain.pixels, depth=16, metadata=plain.metadata)
        save_image(tmp_path / name, deep)
    else:
        store(tmp_path / name, noise(5, 7, 3), exif=exif.tobytes(), icc_profile=SRGB, **resolution)
    with Image.open(again(tmp_path / name)) as written:
        assert written.info["icc_profile"] == SRGB
        found = written.getexif()
        assert (found[0x010E], found[0x8298]) == ("a description", "a photographer")
        assert float(found.get_ifd(0x8769)[0x829A]) == pytest.approx(0.004)
        if resolution:
            assert written.info["dpi"] == pytest.approx((300, 150), abs=0.02)


IPTC = b"\x1c\x02\x05\x00\x05title\x1c\x02\x74\x00\x03who"


def photoshop(resources: dict[int, bytes]) -> bytes:
    """One segment as Photoshop writes it."""
    blocks = (
        struct.pack(">4sHHL", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in resources.items()
    )
    body = b"Photoshop 3.0\x00" + b"".join(blocks)
    return struct.pack(">BBH", 0xFF, 0xED, len(body) + 2) + body


def test_iptc_and_the_comment_of_a_jpeg_are_kept(tmp_path: Path) -> None:
    extra = photoshop({0x0404: IPTC, 0x040A: b"\x01", 0x040C: b"the thumbnail"})
    store(tmp_path / "a.jpg", noise(8, 8, 3), comment=b"made by hand", extra=extra, xmp=b"<x/>", icc_profile=SRGB)
    for path in (again(tmp_path / "a.jpg"), again(again(tmp_path / "a.jpg"))):
        with Image.open(path) as written:
            assert written.info["photoshop"] == {0x0404: IPTC, 0x040A: b"\x01"}
            assert written.info["comment"] == b"made by hand"
            assert (written.info["xmp"], written.info["icc_profile"]) == (b"<x/>", SRGB)
            assert IptcImagePlugin.getiptcinfo(written) == {(2, 5): b"title", (2, 116): b"who"}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_which_colours_a_png_without_a_profile_has_is_kept(deep: bool, grey: bool, tmp_path: Path) -> None:
    info = PngInfo()
    named = {
        b"gAMA": struct.pack(">L", 100_000),
        b"cHRM": struct.pack(">8L", *range(30_000, 38_000, 1000)),
        b"sRGB": b"\1",
    }
    for name, chunk in named.items():
        info.add(name, chunk)
    picture = load_image(store(tmp_path / "a.png", noise(4, 4) if grey else noise(4, 4, 3), pnginfo=info))
    save_image(
        tmp_path / "b.png", Picture(picture.pixels, depth=16 if deep else 8, grey=grey, metadata=picture.metadata)
    )
    content = (tmp_path / "b.png").read_bytes()
    found = chunks(content)
    assert {name: found[name] for name in named} == named
    assert max(content.index(name) for name in named) < content.index(b"IDAT")
    assert np.array_equal(np.rint(load_image(tmp_path / "b.png").pixels.numpy() * 255), np.rint(levels(picture)))


def test_exif_that_is_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    store(tmp_path / "a.png", noise(8, 8, 3), exif=exif, icc_profile=SRGB)
    picture = load_image(tmp_path / "a.png")
    assert left_out(tmp_path / "b.jpg", picture) == ("EXIF",)
    assert left_out(tmp_path / "b.png", picture) == ()
    save_image(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as written:
        assert ("exif" in written.info, written.info["icc_profile"]) == (False, SRGB)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
def test_nothing_is_made_up(name: str, tmp_path: Path) -> None:
    picture = load_image(store(tmp_path / name, noise(5, 7, 3)))
    assert (picture.metadata.icc, picture.metadata.exif, picture.metadata.xmp) == (None, None, None)
    assert picture.metadata.text == {}
    assert (picture.metadata.resources, picture.metadata.comment, picture.metadata.colour_chunks) == ({}, None, {})
    if name in ("a.png", "a.webp", "a.tif"):
        assert picture.metadata.dpi is None


@pytest.mark.parametrize("deep", [False, True])
def test_texts_of_a_png_are_kept(deep: bool, tmp_path: Path) -> None:
    """ComfyUI keeps its workflow in such texts, A1111 its parameters."""
    texts = {"workflow": '{"nodes": [1, 2]}' * 2000, "parameters": "Schärfe, 日本語", "prompt": "{}"}
    info = PngInfo()
    for keyword, value in texts.items():
        info.add_text(keyword, value, zip=keyword == "prompt")
    picture = load_image(store(tmp_path / "a.png", noise(4, 4, 3), pnginfo=info))
    save_image(tmp_path / "b.png", Picture(picture.pixels, depth=16 if deep else 8, metadata=picture.metadata))
    with Image.open(tmp_path / "b.png") as written:
        written.load()
        assert written.text == texts
    assert (tmp_path / "b.png").read_bytes()[24] == (16 if deep else 8)


def test_a_16_bit_png_with_metadata_is_a_sound_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x"
    store(tmp_path / "a.png", noise(4, 4, 3), exif=exif, icc_profile=SRGB, dpi=(72, 72))
    picture = load_image(tmp_path / "a.png")
    save_image(tmp_path / "b.png", Picture(picture.pixels, depth=16, metadata=picture.metadata))
    content = (tmp_path / "b.png").read_bytes()
    kinds = list(chunks(content))
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert kinds.index(b"iCCP") < kinds.index(b"IDAT")
    assert {b"eXIf", b"pHYs"} <= set(kinds)
    for kind, body in chunks(content).items():
        assert struct.pack(">L", zlib.crc32(kind + body)) in content


def test_cmyk_is_converted_by_its_profile_or_plainly(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    picture = load_image(tmp_path / "a.jpg")
    assert picture.pixels[4, 4].tolist() == pytest.approx([0, 1, 1], abs=0.02)
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "b.tif", icc_profile=b"no profile")
    with pytest.raises(ImageError, match=r"b\.tif.*profile"):
        load_image(tmp_path / "b.tif")


# Lossy formats


def test_jpeg_is_written_at_quality_95_without_subsampling(tmp_path: Path) -> None:
    from PIL.JpegImagePlugin import get_sampling

    photograph = cv2.GaussianBlur(noise(64, 64, 3), (0, 0), 3)
    store(tmp_path / "a.jpg", photograph, quality=60, subsampling=2)
    written = again(tmp_path / "a.jpg")
    reference = io.BytesIO()
    Image.fromarray(photograph).save(reference, "JPEG", quality=95)
    with Image.open(written) as image, Image.open(reference) as expected:
        assert get_sampling(image) == 0
        assert image.quantization == expected.quantization
    assert (load_image(written).pixels - load_image(tmp_path / "a.jpg").pixels).abs().max() < 0.02


def test_png_and_tiff_are_packed_quickly(tmp_path: Path) -> None:
    """The two bits in which zlib notes how hard it tried: 1 for its levels 2 to 5, 2 for its usual 6."""
    packed = {}
    for name in ("a.png", "a.tif"):
        save_image(tmp_path / name, Picture(torch.from_numpy(noise(8, 9, 3).astype(np.float32) / 255)))
    packed["png"] = chunks((tmp_path / "a.png").read_bytes())[b"IDAT"]
    with Image.open(tmp_path / "a.tif") as image:
        packed["tif"] = (tmp_path / "a.tif").read_bytes()[image.tag_v2[273][0] :]
    assert {name: body[1] >> 6 for name, body in packed.items()} == {"png": 1, "tif": 1}


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_stays_lossless_where_it_was(lossless: bool, alpha: bool, tmp_path: Path) -> None:
    samples = cv2.GaussianBlur(noise(32, 32, 4 if alpha else 3), (0, 0), 2)
    store(tmp_path / "a.webp", samples, lossless=lossless, icc_profile=SRGB)
    picture = load_image(tmp_path / "a.webp")
    assert picture.lossless == lossless
    back = load_image(again(tmp_path / "a.webp"))
    assert back.lossless == lossless
    difference = float((back.pixels - picture.pixels).abs().mean())
    assert difference == 0 if lossless else 0 < difference < 0.01
