"""Picture files that cannot be read or written: what is said then, and that nothing half-written is left."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from visage.atomic import replacing
from visage.cli.images import ImageError, Picture, load_image, save_image
from visage.tests.picture_files import RANDOM, SRGB, noise, png, store


def test_the_suffix_of_the_new_name_decides(tmp_path: Path) -> None:
    picture = load_image(store(tmp_path / "a.png", noise(5, 5, 3)))
    for name, expected in {"b.jpeg": "JPEG", "c.TIF": "TIFF", "d.bmp": "BMP", "e": "PNG"}.items():
        save_image(tmp_path / "new" / name, picture)
        with Image.open(tmp_path / "new" / name) as written:
            assert written.format == expected
    deep = Picture(picture.pixels, depth=16)
    save_image(tmp_path / "deep.webp", deep)
    assert load_image(tmp_path / "deep.webp").depth == 8


def test_a_wrong_suffix_does_not_hinder_reading(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 5, 3)).save(tmp_path / "a.png", format="JPEG")
    assert load_image(tmp_path / "a.png").format == "JPEG"


def test_transparency_is_not_dropped_unsaid(tmp_path: Path) -> None:
    picture = load_image(store(tmp_path / "a.png", noise(5, 5, 4)))
    with pytest.raises(ImageError, match=r"b\.jpg.*transparency"):
        save_image(tmp_path / "b.jpg", picture)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_animations_and_pages_are_refused(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(5, 5, 3)) for _ in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=rf"{name}.*3 pictures"):
        load_image(tmp_path / name)


def test_the_first_view_of_a_phone_picture_is_taken(tmp_path: Path) -> None:
    views = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (200, 50)]
    views[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=views[1:])
    picture = load_image(tmp_path / "a.jpg")
    assert picture.format == "JPEG"
    assert float(picture.pixels.mean()) == pytest.approx(200 / 255, abs=0.01)


def test_other_formats_and_missing_files_are_told(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 5)).save(tmp_path / "a.gif")
    (tmp_path / "b.png").write_text("<html>")
    (tmp_path / "c.png").touch()
    for name in ("a.gif", "b.png", "c.png"):
        with pytest.raises(ImageError, match=rf"{name}: no PNG, JPEG, WebP, TIFF or BMP"):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match=r"missing\.png: cannot be read \(No such file"):
        load_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(tmp_path)


def test_16_bits_beyond_what_opencv_takes_are_told(tmp_path: Path) -> None:
    wide = Picture(torch.zeros(1, 1_050_000, 3), depth=16)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(1050000 x 1 pixels"):
        save_image(tmp_path / "a.png", wide)
    assert not list(tmp_path.iterdir())
    save_image(tmp_path / "a.tif", wide)
    with pytest.raises(ImageError, match=r"a\.tif: damaged or cut short \(beyond what OpenCV reads"):
        load_image(tmp_path / "a.tif")


def test_a_lack_of_memory_in_opencv_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        error = cv2.error("Insufficient memory")
        error.code, error.err = cv2.Error.StsNoMem, "Failed to allocate 180000000 bytes"
        raise error

    save_image(tmp_path / "a.png", Picture(torch.zeros(2, 2, 3), depth=16))
    monkeypatch.setattr(cv2, "imdecode", full)
    with pytest.raises(MemoryError, match="180000000 bytes"):
        load_image(tmp_path / "a.png")


def test_unsupported_depths_are_told(tmp_path: Path) -> None:
    Image.fromarray(RANDOM.random((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif: holds 32 bits a channel"):
        load_image(tmp_path / "float.tif")
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tif")
    with pytest.raises(ImageError, match=r"lab\.tif.*LAB"):
        load_image(tmp_path / "lab.tif")


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = bytearray(png(noise(2, 2, 3, depth=16), 2))
    content[16:24] = struct.pack(">LL", 60_000, 60_000)
    content[29:33] = struct.pack(">L", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"bomb\.png: too large"):
        load_image(tmp_path / "bomb.png")


def files(folder: Path) -> list[Path]:
    """One file of each kind, with metadata."""
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [store(folder / name, noise(20, 30, 3), exif=exif, icc_profile=SRGB) for name in ("a.png", "a.jpg")]
    paths += [store(folder / name, noise(20, 30, 4), exif=exif, icc_profile=SRGB) for name in ("a.webp", "a.tif")]
    paths.append(store(folder / "a.bmp", noise(20, 30, 3)))
    for name in ("deep.png", "deep.tif"):
        save_image(folder / name, Picture(torch.rand(20, 30, 3), depth=16, metadata=load_image(paths[0]).metadata))
        paths.append(folder / name)
    return paths


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_pictures_are_told(share: float, tmp_path: Path) -> None:
    for path in files(tmp_path):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ImageError, match=path.name):
            load_image(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.integers(0, 6))
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_error_of_its_own_or_goes_unnoticed(data: st.DataObject, kind: int, tmp_path: Path) -> None:
    """Any few bytes may be wrong: no other exception comes out than the one that names the file."""
    originals = tmp_path / "originals"
    if not originals.is_dir():
        originals.mkdir()
        files(originals)
    path = sorted(originals.iterdir())[kind]
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, min(len(content), 900) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = tmp_path / f"damaged{path.suffix}"
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content)
    try:
        picture = load_image(damaged)
    except ImageError as error:
        assert "damaged" in str(error)
    else:
        save_image(tmp_path / f"out{path.suffix}", picture)


def interrupted(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise KeyboardInterrupt


def disk_full(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("failing", "expected"), [(interrupted, KeyboardInterrupt), (disk_full, ImageError)])
def test_no_half_written_file_is_left(
    failing: Callable[[Path, bytes], None],
    expected: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = store(tmp_path / "a.png", noise(5, 5, 3)).read_bytes()
    monkeypatch.setattr(Path, "write_bytes", failing)
    for name in ("a.png", "b.png"):
        with pytest.raises(expected):
            save_image(tmp_path / name, Picture(torch.zeros(4, 4, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_two_programs_may_write_the_same_file_and_names_may_be_long(tmp_path: Path) -> None:
    target = tmp_path / f"{'n' * 251}.png"
    with replacing(target) as one, replacing(target) as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert target.read_bytes() == b"one"
    save_image(target, Picture(torch.zeros(4, 4, 3)))
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_what_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"wide\.webp: cannot be written"):
        save_image(tmp_path / "wide.webp", Picture(torch.zeros(1, 17_000, 3)))
    assert not list(tmp_path.iterdir())
