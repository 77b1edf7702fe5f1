"""Downloads one file, on the user's word: resumable, checked, and never half there under its real name."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Progress = Callable[[int, int | None], None]

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DownloadError(Exception):
    """A download that did not succeed. The message says why and what to do."""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as lower-case hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(url: str, target: Path, sha256: str | None, progress: Progress | None = None) -> None:
    """Downloads ``url`` to ``target``, replacing a file that is there.

    The bytes go to ``target`` with ``.part`` added. An interrupted download leaves that file, and the next call goes
    on from it; one whose hash is wrong removes it.

    Args:
        url: https, or http to this machine. The same holds for every address it is redirected to.
        sha256: what the whole file must hash to, or ``None`` to take it unchecked. A partial file is then not gone on
            with, as nothing would tell whether both halves belong together.
        progress: called with the bytes there so far and the bytes in all, where the server tells.

    Raises:
        DownloadError: refused address, server or network error, full disk, or wrong content.
    """
    _check_address(url)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if sha256 is None:
            part.unlink(missing_ok=True)
        _fetch(url, part, progress)
        if sha256 is not None:
            _check_hash(url, part, sha256)
        part.replace(target)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise DownloadError(f"{url}: no connection ({error.reason}).") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise DownloadError(f"{url}: the connection broke ({error or type(error).__name__}). {_go_on(part)}") from error
    except ValueError as error:
        # A length that is no number, or the address that it is moved to is none.
        raise DownloadError(f"{url}: the server's answer makes no sense ({error}).") from error
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error.strerror or error}. {_go_on(part)}") from error


def _go_on(part: Path) -> str:
    if part.is_file():
        return "Run the command again to go on where it stopped."
    return "Run the command again."


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise DownloadError(f"{url}: refused, because only https addresses are downloaded from.")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect that :func:`_check_address` refuses."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        _check_address(args[-1])
        return super().redirect_request(*args)


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Brings ``part`` to the whole length, from whatever of it there is."""
    there = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "visage", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310 - checked
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies behind what is there: it is the whole file, or a wrong one. Its hash tells.
        error.close()
        return
    with response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        if not goes_on:
            there = 0
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{url}: the server sent a web page instead of the file.")
        length = response.headers.get("Content-Length")
        total = there + int(length) if length is not None else None
        with part.open("ab" if goes_on else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                there += len(block)
                if progress is not None:
                    progress(there, total)
    if total is not None and there != total:
        raise DownloadError(f"{url}: the connection broke after {there} of {total} bytes. {_go_on(part)}")


def _check_hash(url: str, part: Path, sha256: str) -> None:
    found = sha256_of(part)
    if found != sha256.lower():
        part.unlink()
        raise DownloadError(
            f"{url}: what came is not the known file (sha256 {found}, expected {sha256.lower()}). It was deleted. "
            "If this happens again, the address now holds another file: do not use it."
        )
