"""The stage fetch: from every kind of source to the same four files, or to one clear error."""

import csv
import gzip
import hashlib
import io
import json
import shutil
import struct
import tarfile
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline import fetch
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.images.catalogue import Catalogue, CatalogueEntry, UnusedFile, load_unused, save_unused
from pipeline.params.fetch import FetchParams
from pipeline.sources.bounds import USUAL
from pipeline.sources.cifar import CifarDataset
from pipeline.sources.datasets import DATASETS
from pipeline.sources.download import RemoteFile
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.sources.idx import IdxDataset
from tests.fetch_params import fetch_params

OUTS = ("catalogue.csv", "ignored.csv", "images.tar", "rejected.csv", "source.json")


def run(
    workspace: Workspace, dataset: str = "folder", location: Path | str | None = None, **changes: Any
) -> None:
    given = None if location is None else str(location)
    config = fetch.Config(fetch=fetch_params(dataset=dataset, location=given, **changes))
    fetch.run(workspace, config, SilentTracker())


def rows(workspace: Workspace, name: str = "catalogue") -> list[dict[str, str]]:
    with (workspace.fetched / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def source(workspace: Workspace) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(workspace.source.read_text(encoding="utf-8"))
    return values


def stored(workspace: Workspace, row: dict[str, str]) -> bytes:
    start = int(row["offset"])
    return workspace.encoded_images.read_bytes()[start : start + int(row["size"])]


def outs(workspace: Workspace) -> dict[str, bytes]:
    return {name: (workspace.fetched / name).read_bytes() for name in OUTS}


def picture(seed: int, file_format: str = "PNG", size: tuple[int, int] = (6, 5), **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format, **options)
    return buffer.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def animals() -> dict[str, bytes]:
    return {
        "raw-img/cane/1.png": picture(1),
        "raw-img/cane/2.jpg": picture(2, "JPEG"),
        "raw-img/gatto/1.webp": picture(3, "WEBP"),
        "raw-img/gatto/2.gif": picture(4, "GIF"),
        "raw-img/gatto/3.PNG": picture(5, size=(9, 2)),
        "translate.py": b"print('hello')",
        "raw-img/.DS_Store": b"x",
    }


@pytest.fixture
def folder(tmp_path: Path, animals: dict[str, bytes]) -> Path:
    return write_files(tmp_path / "animals", animals)


def test_digits(workspace: Workspace) -> None:
    run(workspace, "digits")
    digits = load_digits()
    catalogue = rows(workspace)
    assert [int(row["class"]) for row in catalogue] == digits.target.tolist()
    assert {row["official_subset"] for row in catalogue} == {""}
    assert source(workspace)["classes"] == [str(digit) for digit in range(10)]
    with tarfile.open(workspace.encoded_images) as archive:
        names = archive.getnames()
    assert (names[0], names[-1], len(names)) == ("00000000.png", "00001796.png", 1797)
    for index in (0, 1000, 1796):
        image = Image.open(io.BytesIO(stored(workspace, catalogue[index])))
        assert image.mode == "L"
        np.testing.assert_allclose(np.asarray(image), digits.images[index] * 255 / 16, atol=0.5)


def test_digits_are_read_from_nowhere_else(workspace: Workspace, folder: Path) -> None:
    with pytest.raises(PipelineError, match="come with scikit-learn"):
        run(workspace, "digits", folder)


def test_a_folder(workspace: Workspace, folder: Path, animals: dict[str, bytes]) -> None:
    run(workspace, location=folder)
    catalogue = rows(workspace)
    assert [(row["id"], row["name"], row["class"], row["width"], row["height"]) for row in catalogue] == [
        ("0", "raw-img/cane/1.png", "cane", "6", "5"),
        ("1", "raw-img/cane/2.jpg", "cane", "6", "5"),
        ("2", "raw-img/gatto/1.webp", "gatto", "6", "5"),
        ("3", "raw-img/gatto/2.gif", "gatto", "6", "5"),
        ("4", "raw-img/gatto/3.PNG", "gatto", "9", "2"),
    ]
    for row in catalogue:
        assert stored(workspace, row) == animals[row["name"]], "the original bytes"
    with tarfile.open(workspace.encoded_images) as archive:
        assert [Path(name).suffix for name in archive.getnames()] == [".png", ".jpg", ".webp", ".gif", ".png"]
    assert rows(workspace, "rejected") == []
    assert source(workspace) == {
        "dataset": "folder",
        "location": str(folder),
        "origin": "a folder or archive of images",
        "classes": ["cane", "gatto"],
        "fingerprint": local_fingerprint(folder, USUAL),
        "images": 5,
        "rejected": 0,
        "ignored": 2,
    }


def test_archives_give_the_same_images_as_the_folder(
    workspace: Workspace, folder: Path, animals: dict[str, bytes], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "animals.zip", "w") as archive:
        for name, data in reversed(animals.items()):
            archive.writestr(name, data)
    with tarfile.open(tmp_path / "animals.tar.gz", "w:gz") as archive:
        for name in reversed(animals):
            archive.add(folder / name, name)
    run(workspace, location=folder)
    expected = outs(workspace)
    for name in ("animals.zip", "animals.tar.gz"):
        run(workspace, location=tmp_path / name)
        found = outs(workspace)
        assert found["images.tar"] == expected["images.tar"]
        assert found["catalogue.csv"] == expected["catalogue.csv"]
        assert source(workspace)["fingerprint"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_the_same_source_gives_the_same_bytes(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    run(workspace, location=folder)
    first = outs(workspace)
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)  # other times
    shutil.rmtree(folder)
    copy.rename(folder)
    run(workspace, location=folder)
    assert outs(workspace) == first


def test_a_relative_location_starts_at_the_project(tmp_path: Path, animals: dict[str, bytes]) -> None:
    home = tmp_path / "project"
    write_files(tmp_path / "data", animals)
    queued = Workspace(root=home / ".dvc" / "tmp" / "exps" / "tmp1", home=home)
    home.mkdir()
    run(queued, location="../data")
    assert source(queued)["location"] == "../data"
    assert len(rows(queued)) == 5


def test_renamed_classes(workspace: Workspace, folder: Path) -> None:
    run(workspace, location=folder, class_names={"cane": "dog", "gatto": "cat"})
    assert source(workspace)["classes"] == ["dog", "cat"]
    assert [row["class"] for row in rows(workspace)] == ["dog", "dog", "cat", "cat", "cat"]
    with pytest.raises(PipelineError, match="did you mean 'gatto'"):
        run(workspace, location=folder, class_names={"gato": "cat"})


def test_official_subsets(workspace: Workspace, tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png", "test/a/3.png", "test/b/3.png")
    run(workspace, location=write_files(tmp_path / "x", {name: picture(i) for i, name in enumerate(names)}))
    assert {row["name"]: row["official_subset"] for row in rows(workspace)} == {
        "train/a/1.png": "train",
        "train/b/1.png": "train",
        "val/a/2.png": "validation",
        "val/b/2.png": "validation",
        "test/a/3.png": "test",
        "test/b/3.png": "test",
    }


def test_copies_have_the_same_digest(workspace: Workspace, tmp_path: Path) -> None:
    files = {
        "a/1.png": picture(1),
        "a/2.png": picture(2),
        "b/copy of a 1.bmp": picture(1, "BMP"),
        "b/other compression.png": picture(1, compress_level=0),
    }
    run(workspace, location=write_files(tmp_path / "x", files))
    digests = [row["pixels_sha256"] for row in rows(workspace)]
    assert digests[0] == digests[2] == digests[3] != digests[1]


def test_unreadable_files_are_listed_with_reasons(workspace: Workspace, folder: Path) -> None:
    write_files(
        folder / "raw-img",
        {
            "cane/half.png": picture(9, size=(60, 60))[:2000],
            "gatto/notes.txt": b"notes",
            "cover.png": picture(8),
        },
    )
    run(workspace, location=folder, max_rejected=0.5)
    reasons = {row["file"]: row["reason"] for row in rows(workspace, "rejected")}
    assert list(reasons) == ["raw-img/cane/half.png", "raw-img/cover.png"]
    assert "truncated" in reasons["raw-img/cane/half.png"]
    assert "folder of a class" in reasons["raw-img/cover.png"]
    ignored = {row["file"]: row["reason"] for row in rows(workspace, "ignored")}
    assert "not an image by its name" in ignored["raw-img/gatto/notes.txt"]
    assert len(rows(workspace)) == 5
    counts = source(workspace)
    assert (counts["images"], counts["rejected"], counts["ignored"]) == (5, 2, len(ignored))
    assert sum(path.is_file() for path in folder.rglob("*")) == 5 + 2 + len(ignored)


def test_too_many_unreadable_files(workspace: Workspace, folder: Path) -> None:
    write_files(folder / "raw-img", {"cane/broken.png": b"broken"})
    run(workspace, location=folder, max_rejected=1 / 6)
    before = outs(workspace)
    with pytest.raises(PipelineError, match=r"1 of 6 files cannot be used[\s\S]*0.16[\s\S]*cane/broken.png"):
        run(workspace, location=folder, max_rejected=0.16)
    assert outs(workspace) == before, "nothing half written"


def test_names_cannot_pretend_to_be_lines(
    workspace: Workspace, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(folder / "raw-img", {"cane/x\nFAKE LINE.png": b"x", "gatto/\nFAKE LINE/y.png": b"y"})
    run(workspace, location=folder, max_rejected=0.5)
    assert [row["file"] for row in rows(workspace, "rejected")] == [
        "raw-img/cane/x\nFAKE LINE.png",
        "raw-img/gatto/\nFAKE LINE/y.png",
    ]
    output = capsys.readouterr().out
    assert "(1, for example raw-img/cane/x\\nFAKE LINE.png)" in output
    assert "\nFAKE" not in output
    with pytest.raises(PipelineError) as caught:
        run(workspace, location=folder)
    assert "x\\nFAKE LINE.png" in str(caught.value)
    assert "\nFAKE" not in str(caught.value)


def test_a_table_cannot_write_to_the_terminal(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = 'id,label\n0,a\n1,b\n"\x1b]0;hi\x07\nFAKE LINE",b\n'
    files = {"0.png": picture(0), "1.png": picture(1), "labels.csv": table.encode()}
    run(workspace, location=write_files(tmp_path / "x", files), labels="labels.csv")
    output = capsys.readouterr().out
    assert "1 rows of labels.csv name no image that is there: \\x1b]0;hi\\x07\\nFAKE LINE\n" in output


def test_names_of_any_length_are_read_again(tmp_path: Path) -> None:
    long = "x" * 200_000
    catalogue = Catalogue([CatalogueEntry(0, long, "a", "", "0", 1, 1, 512, 1)])
    catalogue.save(tmp_path / "catalogue.csv")
    assert Catalogue.load(tmp_path / "catalogue.csv") == catalogue
    save_unused(tmp_path / "rejected.csv", [UnusedFile(long, "why", "a")])
    assert load_unused(tmp_path / "rejected.csv") == [UnusedFile(long, "why")]


def test_a_class_is_renamed_in_errors_too(workspace: Workspace, folder: Path) -> None:
    (folder / "raw-img" / "pollo").mkdir()
    (folder / "raw-img" / "pollo" / "1.png").symlink_to("/nowhere")
    with pytest.raises(PipelineError, match=r"chicken: 0; files that were not used there: a link to nothing"):
        run(workspace, location=folder, max_rejected=0.5, class_names={"pollo": "chicken"})


def test_a_class_with_too_few_images(workspace: Workspace, folder: Path) -> None:
    with pytest.raises(PipelineError, match=r"1 of 2 classes have too few[\s\S]*at least 3[\s\S]*cane: 2"):
        run(workspace, location=folder, min_images_per_class=3)
    assert list(workspace.fetched.iterdir()) == []


def test_a_single_class(workspace: Workspace, tmp_path: Path) -> None:
    location = write_files(tmp_path / "x", {"cat/1.png": picture(1), "cat/2.png": picture(2)})
    with pytest.raises(PipelineError, match=r"only one class[\s\S]*'cat'"):
        run(workspace, location=location)


@pytest.mark.parametrize(
    "files", [{}, {"README.md": b"no images here"}, {"1.png": picture(1), "2.png": picture(2)}], ids=len
)
def test_no_images(workspace: Workspace, tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(PipelineError, match=r"no images at fetch.location[\s\S]*<class>/<image>"):
        run(workspace, location=write_files(tmp_path / "x", files))


def test_a_location_with_a_null_character(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match=r"null character[\s\S]*my\\x00images"):
        run(workspace, location="my\0images")


def test_a_missing_location(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match=r"does not exist[\s\S]*my-images"):
        run(workspace, location="my-images")


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("s3://bucket/images", "an address that begins with s3://"),
        ("file:///home/me/images", "an address that begins with file://"),
        ("C:\\Users\\me\\images", "a path of Windows"),
        ("d:/images", "a path of Windows"),
    ],
)
def test_places_that_are_not_read_are_named(workspace: Workspace, location: str, kind: str) -> None:
    with pytest.raises(PipelineError, match=f"fetch.location is {kind}"):
        run(workspace, location=location)


@pytest.mark.parametrize("name", ["animals.zip", "animals.tar.gz"])
def test_a_truncated_archive(
    workspace: Workspace, animals: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    folder = write_files(tmp_path / "animals", animals)
    kind = "zip" if name.endswith(".zip") else "gztar"
    path = Path(shutil.make_archive(str(folder), kind, folder))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(PipelineError, match="damaged or incomplete"):
        run(workspace, location=path)
    assert not workspace.fetched.exists()


def cifar_archive(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Two batches of 3 training images and one of 2 test images; returns pixels (N, H, W, C) and labels."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 1, 0, 1, 0], dtype=np.uint8)
    # By the description: labels, then the red, green and blue planes, each row by row.
    other_labels = bytes([9] * (label_bytes - 1))
    records = [
        other_labels + bytes([label]) + b"".join(image[:, :, channel].tobytes() for channel in range(3))
        for image, label in zip(pixels, labels, strict=True)
    ]
    files = {
        "cifar/first.bin": b"".join(records[:3]),
        "cifar/second.bin": b"".join(records[3:6]),
        "cifar/test.bin": b"".join(records[6:]),
        "cifar/names.txt": b"plane\ncar\n\n",
        "cifar/readme.html": b"<html>",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, data in reversed(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return pixels, labels


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_binary(
    workspace: Workspace, tmp_path: Path, label_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny-cifar.tar.gz"
    pixels, labels = cifar_archive(path, label_bytes)
    facts = CifarDataset(
        origin="made by this test",
        archive=RemoteFile(
            "https://example.invalid/tiny-cifar.tar.gz", hashlib.sha256(path.read_bytes()).hexdigest()
        ),
        class_names="names.txt",
        subsets={"train": ("first.bin", "second.bin"), "test": ("test.bin",)},
        label_bytes=label_bytes,
    )
    monkeypatch.setattr(fetch, "DATASETS", {**DATASETS, "cifar10": facts})
    run(workspace, "cifar10", path)
    catalogue = rows(workspace)
    assert [row["name"] for row in catalogue] == [f"train/{i:05d}" for i in range(6)] + [
        "test/00000",
        "test/00001",
    ]
    assert [row["class"] for row in catalogue] == [("plane", "car")[label] for label in labels]
    assert [row["official_subset"] for row in catalogue] == ["train"] * 6 + ["test"] * 2
    assert source(workspace)["classes"] == ["plane", "car"]
    for row, expected in zip(catalogue, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored(workspace, row)))), expected)


def test_a_cifar_archive_with_another_checksum(workspace: Workspace, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    cifar_archive(mirror / "cifar-10-binary.tar.gz", 1)
    with pytest.raises(
        PipelineError, match=r"not the published cifar-10-binary[\s\S]*c4a38c50a1bc[\s\S]*dataset=folder"
    ):
        run(workspace, "cifar10", mirror)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, np.ndarray]]:
    """A mirror with 6 training and 4 test images, and the facts that belong to it."""
    random = np.random.default_rng(0)
    arrays = {
        "train-images": random.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "train-labels": np.array([0, 1, 1, 0, 1, 0], dtype=np.uint8),
        "t10k-images": random.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "t10k-labels": np.array([1, 0, 0, 1], dtype=np.uint8),
    }
    mirror = tmp_path / "mirror"
    files = {}
    for name, array in arrays.items():
        write_files(mirror, {f"{name}.gz": gzip.compress(idx(array))})
        files[name] = RemoteFile(
            f"https://example.invalid/{name}.gz", hashlib.sha256(idx(array)).hexdigest(), gzipped=True
        )
    facts = IdxDataset(
        origin="made by this test",
        classes=("0", "1"),
        files={
            "train": (files["train-images"], files["train-labels"]),
            "test": (files["t10k-images"], files["t10k-labels"]),
        },
    )
    monkeypatch.setattr(fetch, "DATASETS", {**DATASETS, "mnist": facts})
    return mirror, arrays


def test_idx(workspace: Workspace, tiny_mnist: tuple[Path, dict[str, np.ndarray]]) -> None:
    mirror, arrays = tiny_mnist
    run(workspace, "mnist", mirror)
    catalogue = rows(workspace)
    assert [row["class"] for row in catalogue] == ["0", "1", "1", "0", "1", "0", "1", "0", "0", "1"]
    assert [row["official_subset"] for row in catalogue] == ["train"] * 6 + ["test"] * 4
    pixels = np.concatenate([arrays["train-images"], arrays["t10k-images"]])
    for row, expected in zip(catalogue, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored(workspace, row)))), expected)


def test_a_recompressed_idx_mirror_gives_the_same_images(
    workspace: Workspace, tiny_mnist: tuple[Path, dict[str, np.ndarray]]
) -> None:
    mirror, arrays = tiny_mnist
    run(workspace, "mnist", mirror)
    expected = outs(workspace)
    for name, array in arrays.items():
        data = gzip.compress(idx(array), compresslevel=1, mtime=12345)
        assert data != (mirror / f"{name}.gz").read_bytes()
        (mirror / f"{name}.gz").write_bytes(data)
    run(workspace, "mnist", mirror)
    found = outs(workspace)
    assert found["images.tar"] == expected["images.tar"]
    assert found["catalogue.csv"] == expected["catalogue.csv"]


def test_an_idx_mirror_with_one_other_pixel_is_refused(
    workspace: Workspace, tiny_mnist: tuple[Path, dict[str, np.ndarray]]
) -> None:
    mirror, arrays = tiny_mnist
    changed = arrays["t10k-images"].copy()
    changed[0, 0, 0] ^= 1
    (mirror / "t10k-images.gz").write_bytes(gzip.compress(idx(changed)))
    with pytest.raises(PipelineError, match=r"not the published t10k-images\.gz"):
        run(workspace, "mnist", mirror)


def test_the_table_of_facts_is_complete() -> None:
    accepted = get_args(FetchParams.model_fields["dataset"].annotation)
    assert set(DATASETS) == set(accepted)
    for name, dataset in DATASETS.items():
        assert dataset.origin, name
    archives = [each.archive for each in DATASETS.values() if isinstance(each, CifarDataset)]
    pairs = [each.files.values() for each in DATASETS.values() if isinstance(each, IdxDataset)]
    files = [*archives, *(file for pair in chain(*pairs) for file in pair)]
    assert len({file.sha256 for file in files}) == len(files) == 10
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)
    assert files[0].name == "cifar-10-binary.tar.gz"
