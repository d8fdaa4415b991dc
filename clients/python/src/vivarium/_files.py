"""Downloads that end with the bytes that were promised: by hash, and from where they broke off."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import httpx

from ._http import Http, Query, fill, pause
from .errors import BrokenDownload, ConnectionFailed, VivariumError
from .models import FileEntry

__all__ = ["fetch_all", "save"]

PIECE = 1 << 20


def fetch_all(http: Http, path: str, files: Iterable[FileEntry], folder: Path, **place: str) -> Path:
    """Brings every file into the folder; what is there already and right is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in files:
        target = inside(folder, entry["name"])
        if not (target.is_file() and target.stat().st_size == entry["bytes"] and sha256(target) == entry["sha256"]):
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(http, path, entry, target, **place)
    return folder


def fetch(http: Http, path: str, entry: FileEntry, target: Path, **place: str) -> None:
    """One file by way of `<name>.part`, which a later call goes on with."""
    part = target.with_name(target.name + ".part")
    failures = 0
    while part_size(part) < entry["bytes"] or not part.exists():
        before = part_size(part)
        try:
            append(http, path, entry, part, **place)
        except httpx.TransportError as broken:
            failures = 0 if part_size(part) > before else failures + 1
            if failures > http.retries:
                raise ConnectionFailed(f"{entry['name']}: {broken or type(broken).__name__}", retryable=True) from broken
            time.sleep(pause(failures))
    found = sha256(part)
    if part_size(part) != entry["bytes"] or found != entry["sha256"]:
        part.unlink()
        raise BrokenDownload(f"{entry['name']}: the bytes that came hash to {found}, not to {entry['sha256']}; try again")
    os.replace(part, target)


def append(http: Http, path: str, entry: FileEntry, part: Path, **place: str) -> None:
    """One connection's bytes behind those that are there; from the start where the server sends the whole."""
    have = part_size(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": f'"{entry["sha256"]}"'}
    try:
        with http.stream("GET", fill(path, name=entry["name"], **place), headers=headers) as response:
            with part.open("ab" if response.status_code == 206 else "wb") as file:
                # pieces as they come: what waits to fill a larger one would be lost in a cut
                for piece in response.iter_bytes():
                    file.write(piece)
    except VivariumError as error:
        if error.status != 416 or not have:
            raise
        part.unlink()
        return
    if part_size(part) < entry["bytes"]:
        raise httpx.ReadError("the connection ended before the file did")


def save(http: Http, path: str, target: Path, query: Query | None = None, **place: str) -> Path:
    """A file whose hash is not known beforehand: whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for tried in range(http.retries + 1):
        try:
            with http.stream("GET", fill(path, **place), query) as response, part.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            os.replace(part, target)
            return target
        except httpx.TransportError as broken:
            if tried == http.retries:
                raise ConnectionFailed(f"{target.name}: {broken or type(broken).__name__}", retryable=True) from broken
            time.sleep(pause(tried))
    raise AssertionError("the last try returns or raises")


def inside(folder: Path, name: str) -> Path:
    """Where a file of this name lies; a name that leads out of the folder is refused."""
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in name:
        raise BrokenDownload(f"the server names a file {name!r}, which does not lie in a folder")
    return folder.joinpath(*parts.parts)


def part_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
