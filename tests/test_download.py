from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from visage.models.download import DownloadError, download, sha256_of

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A web server on this machine, and what it was asked."""

    url: str = ""
    ranges: bool = True
    cut_at: int | None = None
    redirect_to: str = ""
    length: str = ""
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if self.path == "/missing":
                self.send_error(404)
                return
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", state.redirect_to or "/file")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/octet-stream")
            self.send_header("Content-Length", state.length or str(len(CONTENT) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.end_headers()
            self.wfile.write(CONTENT[start : state.cut_at])

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


def test_a_file_arrives_whole_and_tells_its_progress(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.pth"
    steps: list[tuple[int, int | None]] = []
    download(f"{site.url}/file", target, SHA256, lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.pth"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert len(steps) > 2
    assert steps == sorted(steps)


def test_a_broken_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    site.cut_at = 1_500_000
    with pytest.raises(DownloadError, match=r"(?s)broke.*go on where it stopped"):
        download(f"{site.url}/file", target, SHA256)
    assert not target.exists()
    there = (tmp_path / "file.pth.part").stat().st_size
    assert 0 < there <= 1_500_000
    site.cut_at = None
    first: list[int] = []
    download(f"{site.url}/file", target, SHA256, lambda done, total: first.append(done))
    assert site.asked == [None, f"bytes={there}-"]
    assert first[0] > there
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_the_whole(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    (tmp_path / "file.pth.part").write_bytes(CONTENT[:1000])
    site.ranges = False
    download(f"{site.url}/file", target, SHA256)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    download(f"{site.url}/file", target, SHA256)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"other" * 1000, CONTENT + b"more"], ids=["wrong start", "too long"])
def test_a_wrong_part_is_found_out_and_deleted(site: Site, tmp_path: Path, part: bytes) -> None:
    target = tmp_path / "file.pth"
    (tmp_path / "file.pth.part").write_bytes(part)
    with pytest.raises(DownloadError, match=r"not the known file.*deleted"):
        download(f"{site.url}/file", target, SHA256)
    assert list(tmp_path.iterdir()) == []
    download(f"{site.url}/file", target, SHA256)
    assert target.read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing_and_keeps_the_old_file(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError, match="not the known file"):
        download(f"{site.url}/file", target, "0" * 64)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.pth"]


def test_without_a_hash_an_old_part_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    (tmp_path / "file.pth.part").write_bytes(b"other" * 1000)
    download(f"{site.url}/file", target, None)
    assert site.asked == [None]
    assert target.read_bytes() == CONTENT


def test_an_interrupt_keeps_what_came(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(f"{site.url}/file", target, SHA256, interrupt)
    assert not target.exists()
    assert (tmp_path / "file.pth.part").stat().st_size > 0
    download(f"{site.url}/file", target, SHA256)
    assert target.read_bytes() == CONTENT


def test_redirects_are_followed_but_not_to_plain_http(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "file.pth"
    download(f"{site.url}/moved", target, SHA256)
    assert target.read_bytes() == CONTENT
    site.redirect_to = "http://example.com/file"
    with pytest.raises(DownloadError, match="only https"):
        download(f"{site.url}/moved", tmp_path / "other.pth", SHA256)


@pytest.mark.parametrize("url", ["http://example.com/a.pth", "file:///etc/hosts", "ftp://example.com/a.pth"])
def test_only_https_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="only https"):
        download(url, tmp_path / "a.pth", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_server_and_of_the_network_are_plain(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404 Not Found"):
        download(f"{site.url}/missing", tmp_path / "a.pth", SHA256)
    with pytest.raises(DownloadError, match="web page"):
        download(f"{site.url}/page", tmp_path / "a.pth", None)
    with pytest.raises(DownloadError, match="no connection"):
        download("http://127.0.0.1:9/a.pth", tmp_path / "a.pth", SHA256)
    assert not (tmp_path / "a.pth").exists()


def test_answers_that_make_no_sense_are_told(site: Site, tmp_path: Path) -> None:
    for address in ("https://[bad", f"https://{'a' * 70}.example/file"):
        site.redirect_to = address
        with pytest.raises(DownloadError, match="makes no sense"):
            download(f"{site.url}/moved", tmp_path / "a.pth", SHA256)
    site.length, site.cut_at = "long", 0
    with pytest.raises(DownloadError, match="makes no sense"):
        download(f"{site.url}/file", tmp_path / "a.pth", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(f"{site.url}/file", tmp_path / "file" / "a.pth", SHA256)


@pytest.mark.skipif("not __import__('pathlib').Path('/dev/full').exists()", reason="needs /dev/full")
def test_a_full_disk_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left"):
        download(f"{site.url}/file", tmp_path / "file.pth", SHA256)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert sha256_of(tmp_path / "x") == SHA256
