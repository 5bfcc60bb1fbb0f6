"""DVC's hash of a file or folder, computed as DVC 3 does, without its import, which takes a second."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.foundation.digests import md5_file


def dvc_hash(path: Path) -> str:
    """The MD5 of a file; of a folder that of the list of its files with theirs, and `.dir` behind it.

    Folders are hashed as `dvc_data.hashfile.tree.Tree.digest` does; what .dvcignore names is not left
    out, as no output holds such files.

    Raises:
      OSError: a file cannot be read, or is gone.
    """
    if not path.is_dir():
        return md5_file(path)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return folder_hash({name: md5_file(file) for name, file in files.items()})


def folder_hash(files: Mapping[str, str]) -> str:
    """DVC's hash of a folder from those of its files, by their paths within it."""
    listed = json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())])
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + ".dir"
