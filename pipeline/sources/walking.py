"""Every entry below a folder, once: the files that can be read, and what is passed over and why."""

import os
import re
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.images.catalogue import UnusedFile
from pipeline.images.decoding import EXTENSIONS
from pipeline.params.fetch import FetchLimits
from pipeline.sources.bounds import USUAL, require_files, require_names, why_too_large

_SYSTEM_FILES = {
    *(".ds_store", "thumbs.db", "desktop.ini", "__macosx", "icon\r"),
    *("lost+found", "system volume information", "$recycle.bin"),
}
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_HIDDEN_BY_PROGRAMS = {
    *(".appledouble", ".cache", ".comments", ".dvc", ".git", ".hg", ".idea", ".ipynb_checkpoints"),
    *(".picasaoriginals", ".resources", ".svn", ".thumb", ".thumbnails", ".thumbs", ".venv", ".vscode"),
    *(".fseventsd", ".spotlight-v100", ".temporaryitems", ".trashes"),
}
_TRASH = ".trash"
"""Of each user there is one, as .Trash-1000."""

HIDDEN = "hidden: its name, or that of a folder above it, begins with a dot"
LEFT_BEHIND = "left behind by an operating system"
NOT_AN_IMAGE = "not an image by its name"
ARCHIVE_WITHIN = "an archive within, which has to be unpacked first"
IN_HIDDEN_FOLDER = "in a hidden folder: give that a name without a dot if it is a class, else move it away"

BESIDE_IMAGES = {
    *("json", "xml", "txt", "csv", "tsv", "yaml", "yml", "toml", "ini", "cfg", "log", "db", "sqlite"),
    *("md", "rst", "html", "htm", "pdf", "doc", "docx", "xls", "xlsx", "parquet", "tfrecord"),
    *("py", "ipynb", "sh", "bat", "m", "r", "npy", "npz", "mat", "pkl", "h5", "hdf5"),
    *("keras", "onnx", "tflite", "pb", "pt", "pth", "ckpt", "safetensors", "bin"),
}
ARCHIVES = {"zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar", "zst"}
"""Extensions of what lies beside images and is meant for other programs: lists, models, archives."""

_PART = re.compile(
    r"\.z\d\d$|\.(zip|7z|tar|tgz|gz|bz2|xz)[-_.]?(\d{2,3}|(?!([glx]z|br)$)[a-z]{2}|part[-_.]?\w{1,3})$"
    r"|\.part\d+\.(rar|exe|zip|7z)$",
    re.IGNORECASE,
)
"""Names of parts: of zip (.z01), 7-Zip (.zip.001), RAR (.part1.rar) and split (.tar.gz.aa)."""

_Identity = tuple[int, int]
"""Of a file or folder, whatever it is called: device and inode."""


@dataclass(frozen=True)
class Walk:
    """What there is below a folder; names are relative, with forward slashes, and sorted.

    Attributes:
      files: those that can be opened, with their sizes in bytes; as the operating system calls them.
      rejected: what should have been a file or folder of images and cannot be read.
      ignored: files that nobody means: hidden ones, those of operating systems, large ones of other programs.
      empty: folders without any entry.
      closed: folders that could not be entered; they are among those rejected, too.
    """

    files: dict[str, int]
    rejected: list[UnusedFile]
    ignored: list[UnusedFile]
    empty: list[str]
    closed: list[str]


def unicode_name(name: str) -> str:
    """A file's name as valid Unicode: bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def walk(folder: Path, limits: FetchLimits, readable: Callable[[str], str] = unicode_name) -> Walk:
    """Look at everything below `folder`. Links are followed, each folder is entered once.

    `readable` makes valid Unicode of what the operating system calls a file or folder that is not read.

    Raises PipelineError where there are too many files.
    """
    return _Walker(folder, limits, readable).walk()


class _Walker:
    def __init__(self, top: Path, limits: FetchLimits, readable: Callable[[str], str]) -> None:
        self._top = top
        self._limits = limits
        self._readable = readable
        self._found = Walk({}, [], [], [], [])
        self._waiting = deque([""])
        self._links: deque[str] = deque()
        self._entered: set[_Identity] = set()
        self._linked: set[_Identity] = set()
        self._hidden: dict[str, _Identity] = {}
        self._name_bytes = 0

    def walk(self) -> Walk:
        found = self._found
        # Links wait until all else was entered: what lies in the folder has its own name, not that of a link.
        while self._waiting or self._links:
            self._enter(self._waiting.popleft() if self._waiting else self._links.popleft())
        for name, identity in self._hidden.items():
            if identity in self._linked:
                self._ignore(name, "hidden, and used by another name, a link")
            else:
                self._reject(name, IN_HIDDEN_FOLDER)
        for names in (found.rejected, found.ignored):
            names.sort(key=lambda each: each.file)
        found.empty.sort()
        found.closed.sort()
        return found

    def _enter(self, name: str) -> None:
        """Look at the entries of the folder `name`, which is empty or ends with a slash."""
        try:
            identity = _identity((self._top / name).stat())
            if identity in self._entered:
                self._ignore(name, "a link to a folder that is there as well")
                return
            self._entered.add(identity)
            if name.count("/") > self._limits.depth:
                raise OSError(0, f"deeper than {self._limits.depth} folders (fetch.limits.depth)")
            with os.scandir(self._top / name) as entries:
                listed = sorted(islice(entries, self._limits.files + 1), key=lambda entry: entry.name)
        except OSError as error:
            self._close(name, f"cannot be entered: {why(error)}")
            return
        if not listed and not is_passed_over(name):
            self._found.empty.append(self._readable(name))
        listed.reverse()
        while listed:  # which remember what was asked of them: a gigabyte for a million
            entry = listed.pop()
            self._sort(entry, name + entry.name)
            self._require_few()

    def _sort(self, entry: os.DirEntry[str], path: str) -> None:
        self._name_bytes += sys.getsizeof(path)
        try:
            if entry.is_dir(follow_symlinks=False):
                self._waiting.append(path + "/")
                return
            status = entry.stat()
        except OSError as error:
            is_link = entry.is_symlink()
            may_be_folder = is_link and "." not in entry.name
            (self._close if may_be_folder else self._reject)(
                path, "a link to nothing" if is_link else why(error)
            )
            return
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            self._links.append(path + "/")
        elif reason := passed_over(path):
            self._ignore(path, reason)
        elif not stat.S_ISREG(mode):
            self._reject(path, f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
        elif too_large := why_too_large(status.st_size, "", self._limits):
            self._reject(path, too_large)
        elif why_in_hidden_folder(path):
            self._hidden[path] = _identity(status)
        else:
            self._found.files[path] = status.st_size
            if entry.is_symlink():
                self._linked.add(_identity(status))

    def _require_few(self) -> None:
        found = self._found
        require_files(
            len(found.files) + len(found.ignored) + len(found.rejected) + len(self._hidden), self._limits
        )
        require_files(len(self._entered) + len(self._waiting) + len(self._links), self._limits)
        require_names(self._name_bytes, self._limits)

    def _ignore(self, path: str, reason: str) -> None:
        self._found.ignored.append(UnusedFile(self._readable(path), reason))

    def _reject(self, path: str, reason: str) -> None:
        """Except where nobody means it as an image."""
        if ignored := passed_over(path) or (why_no_image(path) if is_beside_images(path) else ""):
            self._ignore(path, ignored)
        else:
            self._found.rejected.append(UnusedFile(self._readable(path), reason))

    def _close(self, folder: str, reason: str) -> None:
        if is_passed_over(folder):
            self._ignore(folder, reason)
        else:
            name = self._readable(folder) or "./"
            self._found.closed.append(name)
            self._found.rejected.append(UnusedFile(name, reason))


def files_below(folder: Path) -> Iterator[str]:
    """Relative paths of the files in `folder`, sorted, links followed, system files left out."""
    yield from sorted(walk(folder, USUAL).files)


def passed_over(path: str) -> str:
    """Why nobody means this file: hidden, or left behind by an operating system; else empty."""
    parts = [part.lower() for part in path.split("/")]
    if any(part in _SYSTEM_FILES or part.startswith("._") for part in parts):
        return LEFT_BEHIND
    by_programs = any(part in _HIDDEN_BY_PROGRAMS or part.startswith(_TRASH) for part in parts)
    return HIDDEN if by_programs or (any(map(_is_hidden, parts)) and not why_in_hidden_folder(path)) else ""


def is_passed_over(folder: str) -> bool:
    """Whether nobody means the images in this folder."""
    return passed_over(f"{folder}/image.png") != ""


def why_in_hidden_folder(path: str) -> str:
    """Why an image is refused whose folder is hidden, as a class .NET is; else empty."""
    *folders, name = path.split("/")
    meant = has_image_extension(name) and not _is_hidden(name)
    return IN_HIDDEN_FOLDER if meant and any(map(_is_hidden, folders)) else ""


def has_image_extension(name: str) -> bool:
    return _extension(name) in EXTENSIONS


def is_beside_images(name: str) -> bool:
    """Whether a file is meant for other programs, by its name."""
    return _extension(name) in BESIDE_IMAGES | ARCHIVES or is_part_of_archive(name)


def is_part_of_archive(name: str) -> bool:
    """Whether a file is called as programs call the parts into which they split a large archive."""
    return _PART.search(name) is not None


def why_no_image(name: str) -> str:
    """Of a file that is not an image by its name: why it is ignored."""
    archive = _extension(name) in ARCHIVES or is_part_of_archive(name)
    return ARCHIVE_WITHIN if archive else NOT_AN_IMAGE


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in (".", "..")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def why(error: OSError) -> str:
    """What the operating system says of it, without the file's name."""
    return (error.strerror or str(error)).lower()
