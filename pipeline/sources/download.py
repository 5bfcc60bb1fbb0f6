"""Files of known content, from the network or from a mirror.

A download is streamed, resumes where it stopped (HTTP Range), and counts only when its SHA-256 is
the expected one. Downloads are kept and shared by all experiments; a lock lets one process load a
file while the others wait for it.
"""

import gzip
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
import urllib3

from pipeline.foundation.digests import digest_bytes, digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import disk_errors_explained
from pipeline.foundation.texts import shortened
from pipeline.params.fetch import FetchLimits
from pipeline.processes.locks import held
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.sources.sources import Location

_CHUNK_BYTES = 1 << 18
_TIMEOUTS = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
_ATTEMPTS = 5
"""In a row without a single new byte."""
_FIRST_WAIT = 1.0
"""Seconds before the second attempt; doubled from one to the next."""
_SECONDS_BETWEEN_LINES = 5.0
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_CONTENT_BYTES = 1 << 28
_MAX_FILE_BYTES = 1 << 34
_LONGEST_NAME = 80
_USE_A_MIRROR = "check the network, or set fetch.location to a copy: a folder, a file or a base address"


@dataclass(frozen=True)
class RemoteFile:
    """A file that is published once and never changes.

    Attributes:
      url: official address.
      sha256: of the file's bytes; with `gzipped`, of the uncompressed bytes, so that a copy that was
        compressed again, or not at all, is as good.
      gzipped: whether the official file is compressed with gzip and `sha256` is that of its content.
    """

    url: str
    sha256: str
    gzipped: bool = False

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def content(self, path: Path) -> bytes:
        """The bytes of a copy of this file, uncompressed if it is `gzipped`.

        Raises PipelineError where the compressed data are damaged.
        """
        with path.open("rb") as file:
            magic = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if not self.gzipped or magic != _GZIP_MAGIC:
                return file.read()
            try:
                with gzip.open(file) as uncompressed:
                    return uncompressed.read(_MAX_CONTENT_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise PipelineError(
                    f"{path} is damaged or incomplete.",
                    found=str(error),
                    remedy="get the file again",
                ) from error

    def digest(self, path: Path) -> str:
        """The SHA-256 to be compared with `sha256`; of the bytes as they are where they are damaged."""
        try:
            return digest_bytes(self.content(path)) if self.gzipped else digest_file(path)
        except PipelineError:
            return digest_file(path)


def obtain(files: Sequence[RemoteFile], location: Location, downloads: Path) -> list[Path]:
    """Local paths of verified copies of `files`.

    Args:
      files: what is wanted.
      location: a mirror (folder, single file where one file is wanted, or base address), or nothing
        for the official addresses.
      downloads: folder that keeps what was downloaded.

    Raises PipelineError where a file is missing, cannot be downloaded, or has other content.
    """
    if location.path is not None:
        return [_local_copy(file, location.path, single=len(files) == 1) for file in files]
    return [_downloaded(file, _address(file, location.url), downloads) for file in files]


def archive_at(url: str, downloads: Path, limits: FetchLimits) -> Path:
    """A local copy of an archive of somebody's images; one that was downloaded before is used again.

    Raises PipelineError where it cannot be downloaded, or is larger than all that may come in.
    """
    name = PurePosixPath(urlsplit(url).path).name or "archive"
    path = downloads / f"{digest_bytes(url.encode())[:16]}-{shortened(name, _LONGEST_NAME, cut='start')}"
    with disk_errors_explained(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if path.exists():
                print(
                    f"the copy of {url} in {downloads.name}/{path.name} is used; without it a new one",
                    flush=True,
                )
                return path
            part = path.with_name(path.name + ".part")
            part.unlink(missing_ok=True)  # nobody knows whether it is the beginning of what is there now
            _download(url, part, limits.total_bytes)
            part.replace(path)
    return path


def content_fingerprint(files: Sequence[RemoteFile], location: Location, limits: FetchLimits) -> str:
    """What source.json holds: a local mirror's own fingerprint, otherwise a digest of the checksums."""
    if location.path is not None:
        return local_fingerprint(location.path, limits)
    return digest_json([file.sha256 for file in files])


def _local_copy(file: RemoteFile, location: Path, single: bool) -> Path:
    if location.is_dir():
        names = [file.name, file.name.removesuffix(".gz")] if file.gzipped else [file.name]
        found = [location / name for name in names if (location / name).is_file()]
        if not found:
            raise PipelineError(
                f"The mirror {location} lacks a file.",
                expected=" or ".join(names),
                remedy="complete the mirror, or set fetch.location to null to download the data",
            )
        path = found[0]
    elif single:
        path = location
    else:
        raise PipelineError(
            "fetch.location is one file, but this data set consists of several.",
            expected="a folder or base address",
            found=str(location),
        )
    digest = file.digest(path)
    if digest != file.sha256:
        raise _other_content(file, str(path), digest)
    return path


def _address(file: RemoteFile, base: str | None) -> str:
    if base is None:
        return file.url
    return base if base.endswith(f"/{file.name}") else f"{base.rstrip('/')}/{file.name}"


def _downloaded(file: RemoteFile, url: str, downloads: Path) -> Path:
    # Named by content: MNIST and Fashion-MNIST call their files the same.
    path = downloads / f"{file.sha256[:16]}-{file.name}"
    with disk_errors_explained(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if path.exists() and file.digest(path) == file.sha256:
                return path
            part = path.with_name(path.name + ".part")
            resumed = part.exists()
            _download(url, part, _MAX_FILE_BYTES)
            if resumed and file.digest(part) != file.sha256:
                # The first bytes came from another time and perhaps another place.
                part.unlink()
                _download(url, part, _MAX_FILE_BYTES)
            digest = file.digest(part)
            if digest != file.sha256:
                part.unlink()
                raise _other_content(file, url, digest)
            part.replace(path)
    return path


def _other_content(file: RemoteFile, place: str, digest: str) -> PipelineError:
    what = "SHA-256 of the uncompressed content" if file.gzipped else "SHA-256"
    return PipelineError(
        f"{place} is not the published {file.name}: it is damaged, incomplete or another file.",
        expected=f"{what} {file.sha256}",
        found=digest,
        remedy="get it from another place; folders and archives of image files need fetch.dataset=folder",
    )


def _locked(path: Path) -> AbstractContextManager[None]:
    """The lock of one download, held until the block ends."""
    waiting = f"waiting for another process that downloads {path.name}"
    return held(path.with_name(path.name + ".lock"), waiting)


def _download(url: str, part: Path, largest: int) -> None:
    """Complete `part`, which may hold the first bytes already and may have `largest` bytes in the end."""
    failures = 0
    while True:
        size = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, size, largest)
            return
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            grown = part.exists() and part.stat().st_size > size
            failures = 1 if grown else failures + 1
            if failures >= _ATTEMPTS:
                raise PipelineError(
                    f"{url} could not be downloaded.", found=_cause(error), remedy=_USE_A_MIRROR
                ) from error
            wait = _FIRST_WAIT * 2 ** (failures - 1)
            print(f"{url}: {_cause(error)}; trying again in {wait:g} s", flush=True)
            time.sleep(wait)
        except requests.RequestException as error:
            raise PipelineError(
                f"{url} could not be downloaded.", found=_cause(error), remedy=_USE_A_MIRROR
            ) from error


def _receive(url: str, part: Path, size: int, largest: int) -> None:
    """One request for the bytes from `size` on."""
    # identity: the bytes as published, not compressed for transport
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing; the checksum decides
        if response.status_code == requests.codes.too_many_requests or response.status_code >= 500:
            raise requests.ConnectionError(f"the server answered {response.status_code} {response.reason}")
        if not response.ok:
            raise PipelineError(
                f"{url} could not be downloaded.",
                found=f"the server answered {response.status_code} {response.reason}",
                remedy=_USE_A_MIRROR,
            )
        continued = response.status_code == requests.codes.partial_content
        with part.open("ab" if continued else "wb") as file:
            length = response.headers.get("Content-Length")
            total = int(length) + file.tell() if length else None
            _require_bounded(total or 0, url, largest)
            _store(response, file, part.name, total, lambda size: _require_bounded(size, url, largest))


def _require_bounded(size: int, url: str, largest: int) -> None:
    if size > largest:
        raise PipelineError(
            f"{url} is larger than {largest / 1e9:,.0f} GB and was not downloaded any further.",
            expected="an archive of images (fetch.limits.total_gb)",
        )


def _store(
    response: requests.Response, file: BinaryIO, name: str, total: int | None, check: Callable[[int], None]
) -> None:
    """Append the answer to `file`; urllib3 raises IncompleteRead where it ends too early."""
    last = time.monotonic()
    for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
        file.write(chunk)
        check(file.tell())
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            done = file.tell()
            share = f" of {total / 1e6:,.0f} MB ({done / total:.0%})" if total else " MB"
            print(f"{name}: {done / 1e6:,.0f}{share}", flush=True)


def _cause(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
