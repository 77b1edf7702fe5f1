"""Whether the files that a prompt draws words from are still the same."""

from __future__ import annotations

from collections.abc import Iterator

from .folders import wildcard_folders

Files = tuple[tuple[str, int, int], ...]


def fingerprint(*texts: str | None) -> Files:
    """What ``fingerprint_inputs`` answers, so that ComfyUI runs a node again whose wildcard files have changed.

    Args:
        texts: its prompts; ``None`` where one comes from a link and is still unknown.

    Returns:
        Path, time of the last change (ns) and size of each wildcard file; nothing where no text can draw from one.
    """
    return tuple(_files()) if any(text is None or "__" in text for text in texts) else ()


def _files() -> Iterator[tuple[str, int, int]]:
    for folder in wildcard_folders():
        for path in sorted(folder.rglob("*.txt")):
            state = path.stat()
            yield str(path), state.st_mtime_ns, state.st_size
