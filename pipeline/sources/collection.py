"""Named files, wherever they are: in a folder, a zip or a tar archive."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few, shortened
from pipeline.images.catalogue import UnusedFile
from pipeline.images.decoding import UnreadableImageError
from pipeline.params.fetch import FetchLimits
from pipeline.sources.bounds import require_files, require_names, require_total, why_too_large
from pipeline.sources.walking import (
    is_beside_images,
    is_passed_over,
    passed_over,
    unicode_name,
    why_in_hidden_folder,
    why_no_image,
)

_LONGEST_NAME = 4096
"""Bytes, as on Linux; programs that read rejected.csv have limits, too."""


@dataclass(frozen=True)
class FileCollection:
    """Files by their names; together with those that are passed over, all that the source has.

    Attributes:
      sizes: about how many bytes reading each file takes, by its path with forward slashes.
      read: the bytes of a file by its name; from any number of threads; raises UnreadableImageError.
      rejected: files that cannot be read, with the reason.
      ignored: files that nobody means, with the reason.
      empty_folders: paths, ending with a slash, of folders without any entry.
      closed_folders: the same of folders that could not be entered; they are among the rejected files, too.
    """

    sizes: Mapping[str, int]
    read: Callable[[str], bytes]
    rejected: tuple[UnusedFile, ...]
    ignored: tuple[UnusedFile, ...]
    empty_folders: tuple[str, ...] = ()
    closed_folders: tuple[str, ...] = ()


@dataclass
class Names:
    """Bytes as names; those that cannot be decoded are counted, so that one error tells of all.

    Attributes:
      encoding: of all that do not say that they are in UTF-8; None where they should be, too.
    """

    encoding: str | None
    _unknown: int = 0
    _first_unknown: bytes = b""

    def decoded(self, raw: bytes, is_utf8: bool = False) -> str:
        """The name; with replacement characters where it cannot be decoded.

        `is_utf8` is a claim: programs make it of names that are not.
        """
        raw = raw.partition(b"\0")[0]
        for encoding in ("utf-8",) * is_utf8 + (self.encoding or "utf-8",):
            try:
                return unicode_name(raw.decode("ascii" if raw.isascii() else encoding))
            except UnicodeError:
                continue
        name = raw.decode("utf-8", "replace")
        if not passed_over(name):
            self._unknown += 1
            self._first_unknown = self._first_unknown or raw
        return name

    def require_known(self) -> None:
        """Raises PipelineError where there was a name that could not be decoded."""
        if self._unknown:
            encodings = ("gbk", "shift_jis", "cp850")
            guesses = [self._first_unknown.decode(each, "replace") for each in encodings]
            raise PipelineError(
                f"Not every name at fetch.location is written in {self.encoding or 'UTF-8'}.",
                expected="the encoding of the names: fetch.name_encoding, such as gbk, shift_jis or cp850",
                found=f"{self._unknown:,} others, of which the first may be {first_few(guesses, 3, ' or ')}",
                remedy="set fetch.name_encoding, or give the files names in UTF-8",
            )


@dataclass
class Members:
    """What became of the members of an archive."""

    limits: FetchLimits
    names: Names
    sizes: dict[str, int] = field(default_factory=dict)
    _members: int = 0
    _name_bytes: int = 0
    _rejected: list[UnusedFile] = field(default_factory=list)
    _ignored: list[UnusedFile] = field(default_factory=list)
    _folders: set[str] = field(default_factory=set)
    _folders_in_use: set[str] = field(default_factory=set)

    def add(self, name: str, size: int, reason: str) -> bool:
        """Whether the member can be read; `reason` says why not. Of several with one name the last counts.

        Raises PipelineError where there are too many.
        """
        self._count(name)
        reason = reason or why_in_hidden_folder(name) or why_too_large(size, name, self.limits)
        ignored = passed_over(name)
        if reason and is_beside_images(name):
            ignored = ignored or why_no_image(name)
        if ignored:
            self._ignored.append(UnusedFile(name, ignored))
            return False
        if reason:
            self._rejected.append(UnusedFile(name, reason))
            return False
        if name in self.sizes:
            self._ignored.append(UnusedFile(name, "replaced by a later file of the same name"))
        self.sizes[name] = size
        return True

    def add_folder(self, name: str) -> None:
        """Raises PipelineError where there are too many."""
        name, reason = safe_name(name)
        if not reason and not is_passed_over(name):
            self._count(name)
            self._folders.add(name)

    def _count(self, name: str) -> None:
        self._members += 1
        self._name_bytes += sys.getsizeof(name)
        require_files(self._members, self.limits)
        require_names(self._name_bytes, self.limits)
        above = name.rpartition("/")[0]
        while above and above not in self._folders_in_use:
            self._folders_in_use.add(above)
            above = above.rpartition("/")[0]

    def collected(self, read: Callable[[str], bytes]) -> FileCollection:
        """Raises PipelineError where the files are too large together, or names could not be decoded."""
        self.names.require_known()
        require_total(sum(self.sizes.values()), self.limits)
        empty = sorted(f"{name}/" for name in self._folders - self._folders_in_use)
        return FileCollection(self.sizes, read, tuple(self._rejected), tuple(self._ignored), tuple(empty))


def safe_name(name: str) -> tuple[str, str]:
    """A member's name without a leading slash or `.`, and a reason to refuse it or an empty text."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//")]
    if len(name.encode()) > _LONGEST_NAME:
        return shortened(name, 200, "middle"), f"its name has more than {_LONGEST_NAME:,} bytes"
    if ".." in parts:
        return name, "its path leads out of the archive"
    return "/".join(parts), "" if parts else "it has no name"


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Bytes of an archive; from any thread. Raises UnreadableImageError where there can be none."""
    try:
        return os.pread(descriptor, size, offset)
    except (OSError, OverflowError) as error:  # a place before the beginning, or behind any end
        raise UnreadableImageError(f"damaged in the archive: {error}") from error
