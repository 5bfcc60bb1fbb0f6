"""Folders and archives as people bring them: what becomes of each, and that every file is accounted for."""

import io
import os
import tarfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import fetch
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.images.catalogue import Catalogue, load_unused
from tests.fetch_params import fetch_params

Files = dict[str, bytes]

_random = np.random.default_rng(0)


def image(kind: str = "PNG", **options: Any) -> bytes:
    """One that looks like no other."""
    buffer = io.BytesIO()
    pixels = _random.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def classes(*folders: str, count: int = 4, extension: str = "png") -> Files:
    kind = {"png": "PNG", "jfif": "JPEG", "pgm": "PPM", "tif": "TIFF"}[extension]
    return {f"{folder}/{number}.{extension}": image(kind) for folder in folders for number in range(count)}


def folder(files: Files, *links: tuple[str, str], empty: str = "") -> Callable[[Path], Path]:
    """Makes a folder of files, of links (name, target), and of an empty folder."""

    def make(path: Path) -> Path:
        top = path / "images"
        for name, data in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(data)
        for name, target in links:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).symlink_to(target)
        if empty:
            (top / empty).mkdir(parents=True)
        return top

    return make


def with_pipe(files: Files) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        top = folder(files)(path)
        os.mkfifo(top / "a" / "pipe.png")
        return top

    return make


def zipped(members: list[tuple[str, bytes]]) -> Callable[[Path], Path]:
    """A zip as a program writes it that knows nothing of UTF-8: names are in code page 437."""

    def make(path: Path) -> Path:
        with zipfile.ZipFile(path / "images.zip", "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path / "images.zip"

    return make


def with_folders(make: Callable[[Path], Path], *folders: str) -> Callable[[Path], Path]:
    """Entries of folders in an archive, before its files, as most programs write them."""

    def made(path: Path) -> Path:
        location = make(path)
        if location.suffix == ".zip":
            with zipfile.ZipFile(location, "a") as archive:
                for name in folders:
                    archive.writestr(f"{name}/", b"")
        else:
            with tarfile.open(location, "a") as tar:
                for name in folders:
                    member = tarfile.TarInfo(name)
                    member.type = tarfile.DIRTYPE
                    tar.addfile(member)
        return location

    return made


def without_flag(files: Files, encoding: str) -> Callable[[Path], Path]:
    """A zip whose names are in an encoding that it does not tell."""

    def make(path: Path) -> Path:
        names = {name: name.encode(encoding).decode("cp437") for name in files}
        original = zipfile.ZipInfo._encodeFilenameFlags  # type: ignore[attr-defined]
        zipfile.ZipInfo._encodeFilenameFlags = lambda self: (self.filename.encode("cp437"), 0)  # type: ignore[attr-defined]
        try:
            return zipped([(names[name], data) for name, data in files.items()])(path)
        finally:
            zipfile.ZipInfo._encodeFilenameFlags = original  # type: ignore[attr-defined]

    return make


def tarred(
    files: Files, change: Callable[[bytearray], bytearray] = lambda data: data
) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        (path / "images.tar").write_bytes(change(bytearray(buffer.getvalue())))
        return path / "images.tar"

    return make


def with_hard_link(path: Path) -> Path:
    location = tarred(classes("a", "b"))(path)
    with tarfile.open(location, "a") as archive:
        link = tarfile.TarInfo("b/again.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a/0.png"
        archive.addfile(link)
    return location


def bit_flipped(data: bytearray) -> bytearray:
    """In the header of the fourth member."""
    data[data.index(b"a/3.png")] ^= 1
    return data


@dataclass(frozen=True)
class Case:
    """A source and what a person expects of it: classes with their numbers of images, or an error.

    No more than the usual share of files may be rejected.

    Attributes:
      said: what stands in the terminal, or in the error.
    """

    make: Callable[[Path], Path]
    classes: dict[str, int] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)


TWO = {"a": 4, "b": 4}
MANY = classes("a", "b", count=40)
"""So many that a class of four files is below the share that may be rejected."""

FOUR_OF_C = ("c: 0; files that were not used there", "(4, for example c")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
TABLE = "\n".join(["id,label", *(f"{number},{'ab'[number % 2]}" for number in range(8))]).encode()

CASES = {
    "a folder per class": Case(folder(classes("a", "b")), TWO),
    "two letters alike": Case(
        folder(
            {
                **classes("train/" + unicodedata.normalize("NFC", "café"), "train/tea"),
                **classes("test/" + unicodedata.normalize("NFD", "café"), "test/tea"),
            }
        ),
        {"café": 8, "tea": 8},
    ),
    "netpbm and jfif": Case(folder({**classes("a", extension="pgm"), **classes("b", extension="jfif")}), TWO),
    "several pages": Case(
        folder(
            {
                **classes("a", "b"),
                "a/pages.tif": image("TIFF", save_all=True, append_images=[Image.new("L", (9, 9))]),
            }
        ),
        {"a": 5, "b": 4},
    ),
    "a class of unknown format": Case(
        folder({**classes("a", "b"), **{f"c/{number}.jp2": b"\0\0\0\x0cjP  " for number in range(4)}}),
        said=("c: 0; files that were not used there",),
        params={"max_rejected": 0.5},
    ),
    "a class of unknown format among many": Case(
        folder({**MANY, **{f"c/{number}.jp2": b"\0\0\0\x0cjP  " for number in range(4)}}), said=FOUR_OF_C
    ),
    "a class of dangling links": Case(
        folder(MANY, *((f"c/{number}.png", "/nowhere") for number in range(4))), said=FOUR_OF_C
    ),
    "a class of folders": Case(folder({**MANY, **classes("c/x", "c/y", count=2)}), said=FOUR_OF_C),
    "a class with a dot among many": Case(
        folder({**MANY, **classes(".c")}), said=(".c: 0", "in a hidden folder", "(4, for example .c/")
    ),
    "a class of archives": Case(
        folder({**MANY, **{f"c/{number}.zip": b"PK\3\4" for number in range(4)}}),
        said=(*FOUR_OF_C, "has to be unpacked first"),
    ),
    "a class of scans": Case(
        folder({**MANY, **{f"c/{number}.pdf": b"%PDF" for number in range(4)}}), said=FOUR_OF_C
    ),
    "a class of system files": Case(
        folder({**MANY, "c/.DS_Store": b"x"}), said=("c: 0", "left behind by an operating system")
    ),
    "a class of unknown format in an archive": Case(
        tarred({**MANY, **{f"c/{number}.jp2": b"\0\0\0\x0cjP  " for number in range(4)}}), said=FOUR_OF_C
    ),
    "a class of rejected members": Case(
        tarred({**MANY, **classes(".c")}), said=(".c: 0", "in a hidden folder", "(4, for example .c/")
    ),
    "a class of unknown format in a table": Case(
        folder(
            {
                **MANY,
                **dict.fromkeys(("8.jp2", "9.jp2"), b"\0\0\0\x0cjP  "),
                "labels.csv": "\n".join(
                    ["id,label", *(f"{name},{name[0]}" for name in MANY), "8.jp2,c", "9.jp2,c"]
                ).encode(),
            }
        ),
        said=("c: 0", "(2, for example 8.jp2)"),
        params={"labels": "labels.csv"},
    ),
    "a class of unknown format in names": Case(
        folder({**MANY, "c/1.jp2": b"\0\0\0\x0cjP  "}),
        said=("c: 0", "(1, for example c/1.jp2)"),
        params={"label_pattern": r"(?P<label>[a-z])/"},
    ),
    "an empty class": Case(folder(classes("a", "b"), empty="c"), said=("c: 0",)),
    "a class that is a link to another": Case(
        folder(classes("a", "b"), ("c", "a")), said=("c: 0", "a link to a folder that is there as well", "c/")
    ),
    "a class that is a link to nothing": Case(
        folder(MANY, ("c", "/nowhere")), said=("Not every folder", "can be entered", "a link to nothing (c)")
    ),
    "a link to all": Case(folder(classes("a", "b"), ("all", ".")), TWO, ("1 ignored",)),
    "folders of documents": Case(
        folder(
            {
                **classes("a", "b"),
                "docs/labels.csv": b"x",
                "docs/.DS_Store": b"x",
                "annotations/more/1.xml": b"x",
                ".git/config": b"x",
                ".thumbnails/0.png": image(),
            }
        ),
        TWO,
        ("5 ignored",),
    ),
    "folders in a zip": Case(
        with_folders(zipped(list(classes("a", "b").items())), "a", "b", "__MACOSX"), TWO
    ),
    "folders in a tar": Case(with_folders(tarred(classes("x/a", "x/b")), "x", "x/a", "x/b"), TWO),
    "an empty class in a zip": Case(
        with_folders(zipped(list(classes("a", "b").items())), "a", "b", "c"), said=("c: 0",)
    ),
    "an empty class in a tar": Case(with_folders(tarred(classes("x/a", "x/b")), "x", "x/c"), said=("c: 0",)),
    "a class with a dot": Case(folder(classes(".NET", "a", "b")), said=("hidden folder", ".NET/0.png")),
    "dangling links": Case(
        folder(classes("a", "b"), ("a/x.png", "/nowhere")),
        TWO,
        ("1 rejected", "a link to nothing (1, for example a/x.png)"),
        {"max_rejected": 0.2},
    ),
    "links that are images": Case(
        folder(
            {**classes("a", "b"), **classes(".store")},
            *((f"c/{n}.png", f"../.store/{n}.png") for n in range(4)),
        ),
        {**TWO, "c": 4},
    ),
    "a folder within itself": Case(folder(classes("a", "b"), ("a/again", "..")), TWO, ("1 ignored",)),
    "a pipe": Case(with_pipe(classes("a", "b")), TWO, ("a pipe, not a file",), {"max_rejected": 0.2}),
    "left by systems": Case(
        folder(
            {
                **classes("a", "b"),
                "Icon\r": b"",
                "a/Thumbs.db": b"x",
                "a/._0.png": b"x",
                "__MACOSX/a/._0.png": b"x",
            }
        ),
        TWO,
        ("4 ignored", "left behind by an operating system"),
    ),
    "sidecars": Case(
        folder(
            {
                **classes("a", "b"),
                **{f"a/{n}.{kind}": b"{}" for n in range(4) for kind in ("json", "txt", "xml")},
            }
        ),
        TWO,
        ("0 rejected, 12 ignored",),
    ),
    "an image at the top": Case(
        folder({**classes("a", "b"), "preview.png": image()}),
        TWO,
        ("is not in the folder of a class (1, for example preview.png)",),
        {"max_rejected": 0.2},
    ),
    "names with control characters": Case(
        folder({**classes("a", "b"), "a/x\ry.png": image(), "b/x\ty\f.png": image()}), {"a": 5, "b": 5}
    ),
    "training_set and test_set": Case(
        folder(classes("training_set/a", "training_set/b", "test_set/a", "test_set/b")), {"a": 8, "b": 8}
    ),
    "subsets twice, and images to predict": Case(
        folder({**classes("seg_train/seg_train/a", "seg_train/seg_train/b"), **classes("seg_pred/seg_pred")}),
        TWO,
        ("has no label",),
    ),
    "images to predict in a folder of their own": Case(
        folder({**classes("train/a", "train/b"), **classes("test/test")}), TWO, ("has no label", "4 ignored")
    ),
    "test alone, and labels in names": Case(
        folder({f"test_data/{'ab'[n % 2]}_{n}.png": image() for n in range(8)}),
        said=("none of training images", "test_data/a_0.png"),
        params={"label_pattern": "(?P<label>[a-z]+)_[0-9]"},
    ),
    "test alone, and labels in a table": Case(
        folder({**{f"test_data/{n}.png": image() for n in range(8)}, "labels.csv": TABLE}),
        said=("none of training images", "test_data/0.png"),
        params={"labels": "labels.csv"},
    ),
    "a second copy": Case(
        folder(classes("a", "b", "copy/a", "copy/b")), TWO, ("in a second copy", "8 ignored")
    ),
    "two folders of validation": Case(
        folder(classes("train/a", "train/b", "val/a", "val/b", "validation/a", "validation/b")),
        {"a": 12, "b": 12},
    ),
    "test alone": Case(folder(classes("test/a", "test/b")), said=("none of training images",)),
    "no classes": Case(
        folder(classes("photos")), said=("only one class", "fetch.labels", "fetch.label_pattern")
    ),
    "labels in a table": Case(
        folder({**{f"train/{n}.png": image() for n in range(8)}, "train.csv": TABLE}),
        TWO,
        params={"labels": "train.csv"},
    ),
    "training and test images of the same names": Case(
        folder(
            {**{f"{top}/{n}.png": image() for n in range(8) for top in ("train", "test")}, "train.csv": TABLE}
        ),
        TWO,
        ("has no row in train.csv (8, for example test/0.png)", "9 ignored"),
        {"labels": "train.csv"},
    ),
    "training and test images that the table leaves open": Case(
        folder(
            {
                **{f"{top}/{n}.png": image() for n in range(8) for top in ("train", "test")},
                "labels.csv": TABLE,
            }
        ),
        said=("'0' in labels.csv may be several files", "test/0.png, train/0.png"),
        params={"labels": "labels.csv"},
    ),
    "labels in names": Case(
        folder({f"train/{'ab'[n % 2]}.{n}.png": image() for n in range(8)}),
        TWO,
        params={"label_pattern": r"(?P<label>[a-z]+)\.\d+\."},
    ),
    "pointers of Git LFS": Case(folder(dict.fromkeys(classes("a", "b"), LFS)), said=("git lfs pull",)),
    "an archive within": Case(
        folder({"train.zip": b"PK\x03\x04", "sample.csv": b"id"}),
        said=("has to be unpacked first", "train.zip"),
    ),
    "names in GBK": Case(
        without_flag(classes("猫", "狗"), "gbk"), {"猫": 4, "狗": 4}, params={"name_encoding": "gbk"}
    ),
    "names in GBK that nobody has told": Case(
        without_flag(classes("猫", "狗"), "gbk"), said=("fetch.name_encoding", "狗")
    ),
    "names in UTF-8 without the flag": Case(without_flag(classes("猫", "狗"), "utf-8"), {"猫": 4, "狗": 4}),
    "backslashes": Case(
        zipped([(name.replace("/", "\\"), data) for name, data in classes("a", "b").items()]), TWO
    ),
    "members twice": Case(
        zipped([*classes("a", "b").items(), ("a/0.png", image())]),
        TWO,
        ("replaced by a later file", "1 ignored"),
    ),
    "a path that leads out": Case(
        tarred({**classes("a", "b"), "../../a/x.png": image()}),
        TWO,
        ("its path leads out of the archive",),
        {"max_rejected": 0.2},
    ),
    "a hard link": Case(with_hard_link, {"a": 4, "b": 5}),
    "a flipped bit": Case(tarred(classes("a", "b"), bit_flipped), said=("damaged or incomplete",)),
    "cut at a member": Case(
        tarred(classes("a", "b"), lambda data: data[: data.index(b"b/1.png")]),
        said=("damaged or incomplete",),
    ),
}


def entries(location: Path, encoding: str | None) -> list[str]:
    """The names of all that a source has except folders, whatever it is; a name once for each."""
    if location.is_dir():
        return [
            (Path(top) / name).relative_to(location).as_posix() + ("/" if name in folders else "")
            for top, folders, files in os.walk(location)
            for name in (*files, *folders)
            if name in files or (Path(top) / name).is_symlink()
        ]
    if location.suffix == ".zip":
        with zipfile.ZipFile(location) as archive:
            return [
                info.filename.encode("cp437").decode(encoding or "utf-8").replace("\\", "/")
                for info in archive.infolist()
                if not info.is_dir()
            ]
    with tarfile.open(location) as tar:
        return [member.name for member in tar if not member.isdir()]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_source_as_people_bring_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    location = case.make(tmp_path)
    workspace = Workspace(tmp_path / "project", tmp_path / "project")
    config = fetch.Config(fetch=fetch_params(location=str(location), **case.params))
    if not case.classes:
        with pytest.raises(PipelineError) as caught:
            fetch.run(workspace, config, SilentTracker())
        assert [text for text in case.said if text not in str(caught.value)] == []
        assert not workspace.catalogue.exists()
        return

    fetch.run(workspace, config, SilentTracker())
    catalogue = Catalogue.load(workspace.catalogue)
    assert Counter(entry.class_name for entry in catalogue.entries) == case.classes
    output = capsys.readouterr().out
    assert [text for text in case.said if text not in output] == []
    used = [entry.name for entry in catalogue.entries]
    rejected, ignored = (
        [item.file for item in load_unused(path)] for path in (workspace.rejected, workspace.ignored)
    )
    expected = entries(location, case.params.get("name_encoding"))
    assert sorted((*used, *rejected, *ignored)) == sorted(expected)
    source = read_json(workspace.source)
    assert [source["images"], source["rejected"], source["ignored"]] == [
        len(used),
        len(rejected),
        len(ignored),
    ]
    assert output.startswith(
        f"{len(expected)} files: {len(used)} images of {len(case.classes)} classes, "
        f"{len(rejected)} rejected, {len(ignored)} ignored\n"
    )
