"""images.tar is an ordinary tar file with an index beside it."""

import tarfile
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.catalogue import (
    Catalogue,
    CatalogueEntry,
    EncodedImages,
    ImageTarWriter,
    Provenance,
    UnusedFile,
    load_unused,
    save_unused,
)

# Around the borders of a tar block, 512 bytes.
IMAGES = [b"", b"x", b"a" * 511, b"b" * 512, b"c" * 513, bytes(range(256)) * 50]


def write_tar(path: Path) -> list[tuple[int, int]]:
    with path.open("wb") as file:
        writer = ImageTarWriter(file)
        places = [writer.append(data, "png") for data in IMAGES]
        writer.finish()
    return places


def entry(image_id: int, name: str, offset: int = 0, size: int = 0) -> CatalogueEntry:
    return CatalogueEntry(image_id, name, "cat", "train", "0" * 64, 4, 3, offset, size)


def test_other_programs_read_the_tar(tmp_path: Path) -> None:
    write_tar(tmp_path / "images.tar")
    assert (tmp_path / "images.tar").stat().st_size % 10240 == 0
    with tarfile.open(tmp_path / "images.tar") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [f"{number:08d}.png" for number in range(6)]
        files = [archive.extractfile(member) for member in members]
        assert [file.read() for file in files if file is not None] == IMAGES
        facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members}
        assert facts == {(0, 0, 0, "", "", 0o644)}


def test_any_image_is_read_at_once(tmp_path: Path) -> None:
    places = write_tar(tmp_path / "images.tar")
    assert [image_id for image_id, _ in places] == list(range(6))
    with EncodedImages(tmp_path / "images.tar") as encoded:
        for (image_id, offset), data in zip(places, IMAGES, strict=True):
            assert encoded.read(entry(image_id, "x", offset, len(data))) == data


def test_an_image_beyond_the_end_is_explained(tmp_path: Path) -> None:
    write_tar(tmp_path / "images.tar")
    with (
        EncodedImages(tmp_path / "images.tar") as encoded,
        pytest.raises(PipelineError, match=r"does not hold image 7.*\n.*10 bytes at 99999"),
    ):
        encoded.read(entry(7, "x", 99999, 10))


def test_catalogue_round_trip_with_awkward_names(tmp_path: Path) -> None:
    names = ["a,b.png", 'say "cheese".png', "two\nlines.png", "größe/猫.png", "plain.png"]
    catalogue = Catalogue([entry(number, name) for number, name in enumerate(names)])
    catalogue.save(tmp_path / "catalogue.csv")
    assert Catalogue.load(tmp_path / "catalogue.csv") == catalogue
    assert (
        (tmp_path / "catalogue.csv")
        .read_bytes()
        .startswith(b"id,name,class,official_subset,pixels_sha256,width,height,offset,size\n")
    )


def test_another_table_is_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_text("id,subset\n0,train\n")
    with pytest.raises(PipelineError, match="is not a catalogue"):
        Catalogue.load(tmp_path / "catalogue.csv")


def test_rejected_files_round_trip(tmp_path: Path) -> None:
    rejected = [UnusedFile("cat/x, y.png", 'it says "no"'), UnusedFile("z", "empty")]
    save_unused(tmp_path / "rejected.csv", rejected)
    assert load_unused(tmp_path / "rejected.csv") == rejected


def test_provenance_round_trip(tmp_path: Path) -> None:
    provenance = Provenance("folder", "../x", "somewhere", ("cat", "dog"), "f" * 64, 12, 1, 2)
    provenance.save(tmp_path / "source.json")
    assert Provenance.load(tmp_path / "source.json") == provenance
