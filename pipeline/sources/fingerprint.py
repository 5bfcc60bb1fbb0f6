"""Fingerprints of local data, because DVC cannot see that what fetch.location names has changed."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.images.parallel import ordered_map

_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}


def is_system_name(name: str) -> bool:
    """Whether a file or folder is hidden or one that an operating system leaves behind."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def unicode_name(name: str) -> str:
    """A file's name as valid Unicode: bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def local_fingerprint(path: Path) -> str:
    """What source.json holds for a local fetch.location; differs when the content differs.

    For a file, its SHA-256; for a folder, a digest of the sorted relative paths and SHA-256 of its
    files. Hidden files and those of operating systems do not count.

    Raises PipelineError where `path` does not exist.
    """
    if path.is_file():
        return digest_file(path)
    if not path.is_dir():
        raise PipelineError(f"{path} does not exist.", expected="a folder or file")
    names = list(files_below(path))
    digests = ordered_map(lambda name: digest_file(path / name), names)
    return digest_json([[unicode_name(name), digest] for name, digest in zip(names, digests, strict=True)])


def files_below(folder: Path) -> Iterator[str]:
    """Relative paths of the files in `folder`, sorted, links followed, system files left out."""
    yield from sorted(_walk(folder, "", (os.path.realpath(folder),)))


def _walk(folder: Path, prefix: str, ancestors: tuple[str, ...]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_system_name(entry.name):
                continue
            name = prefix + entry.name
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in ancestors:  # a link to a folder above would never end
                    yield from _walk(Path(entry.path), name + "/", (*ancestors, real))
            elif entry.is_file():
                yield name
