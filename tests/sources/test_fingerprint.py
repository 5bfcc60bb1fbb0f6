"""The fingerprint changes when the content does, and only then."""

import hashlib
import shutil
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.bounds import USUAL
from pipeline.sources.fingerprint import local_fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in {"cat/1.png": b"one", "cat/2.png": b"two", "dog/1.png": b"one"}.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "images"


def test_of_a_file_it_is_the_sha256(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"content")
    assert local_fingerprint(tmp_path / "x.zip", USUAL) == hashlib.sha256(b"content").hexdigest()


def test_copies_are_equal_wherever_they_are(folder: Path) -> None:
    copy = folder.parent / "elsewhere" / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    assert local_fingerprint(copy, USUAL) == local_fingerprint(folder, USUAL)


def test_every_change_shows(folder: Path) -> None:
    seen = {local_fingerprint(folder, USUAL)}
    (folder / "cat" / "1.png").write_bytes(b"ONE")
    seen.add(local_fingerprint(folder, USUAL))
    (folder / "cat" / "1.png").rename(folder / "cat" / "3.png")
    seen.add(local_fingerprint(folder, USUAL))
    (folder / "cat" / "3.png").rename(folder / "dog" / "3.png")
    seen.add(local_fingerprint(folder, USUAL))
    (folder / "dog" / "3.png").unlink()
    seen.add(local_fingerprint(folder, USUAL))
    assert len(seen) == 5


def test_system_files_do_not_count(folder: Path) -> None:
    before = local_fingerprint(folder, USUAL)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / "Thumbs.db").write_bytes(b"x")
    assert local_fingerprint(folder, USUAL) == before


def test_a_missing_path_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        local_fingerprint(tmp_path / "nowhere", USUAL)
