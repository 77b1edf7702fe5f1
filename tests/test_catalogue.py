from __future__ import annotations

import re
from pathlib import Path

import pytest
from visage.models import builtin
from visage.models.catalogue import (
    CATALOGUE,
    KINDS,
    KnownWeights,
    by_file_name,
    by_name,
    by_sha256,
    licence_line,
    of_kind,
)
from visage.models.download import sha256_of

EVERY = pytest.mark.parametrize("known", CATALOGUE, ids=lambda known: known.name)


@EVERY
def test_entries_are_well_formed(known: KnownWeights) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", known.name)
    assert known.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", known.sha256)
    assert known.size is None or known.size > 10_000
    assert known.kind in KINDS
    assert known.licence.name
    assert known.licence.note.endswith(".")
    assert bool(known.urls) != (known.name in (builtin.DETECTOR, builtin.RESTORER))
    assert all(url.startswith("https://") and not url.endswith("/") for url in known.urls)
    assert {url.rsplit("/", 1)[1] for url in known.urls} <= set(known.file_names)


@EVERY
def test_every_entry_is_found_by_each_of_its_names(known: KnownWeights) -> None:
    assert by_name(known.name) is known
    assert by_name(known.name.upper()) is known
    assert all(by_file_name(name) is known for name in known.file_names)
    if known.sha256 is not None:
        assert by_sha256(known.sha256.upper()) is known


def test_names_and_hashes_are_unique() -> None:
    for values in (
        [known.name for known in CATALOGUE],
        [name for known in CATALOGUE for name in known.file_names],
        [known.sha256 for known in CATALOGUE if known.sha256],
    ):
        assert len(values) == len(set(values))


def test_every_kind_has_entries() -> None:
    assert all(list(of_kind(kind)) for kind in KINDS)


def test_file_names_match_in_folders_and_after_conversion() -> None:
    gfpgan = by_name("gfpgan-1.4")
    assert by_file_name("GFPGANv1.4.safetensors") is gfpgan
    assert by_file_name("gfpganv1.4.PTH") is gfpgan
    assert by_file_name("bbox/face_yolov8m.pt") is by_name("face-yolov8m")
    assert by_file_name("bbox\\face_yolov8m.pt") is by_name("face-yolov8m")
    assert by_file_name("codeformer.pth") is by_file_name("codeformer-v0.1.0.pth")
    assert by_file_name("GFPGANv1.png") is None
    assert by_file_name("gfpgan-1.4") is None


def test_non_commercial_weights_say_so() -> None:
    assert "no commercial use" in licence_line("codeformer.safetensors")
    assert "third-party non-commercial parts" in licence_line("GFPGANv1.3.pth")
    assert "AGPL-3.0" in licence_line("bbox/face_yolov8n.pt")
    assert "not known" in licence_line("something.pth")
    assert all("\n" not in licence_line(known.file_name) for known in CATALOGUE)


def test_hashes_are_those_of_the_published_files(data: Path) -> None:
    """The two real files that are byte for byte the published ones."""
    for name in ("detection_mobilenet0.25_Final.pth", "face_detection_yunet_2023mar.onnx"):
        path = data / "weights" / name
        known = by_sha256(sha256_of(path))
        assert known is not None
        assert (known.file_name, known.size) == (name, path.stat().st_size)
