"""Office files without dates."""

import io
import zipfile

from pipeline.reporting.slides.archive import stable_archive

CORE = b'<a><dcterms:created xsi:type="x">2026-01-01T00:00:00Z</dcterms:created><title>kept</title></a>'


def archive(members: dict[str, bytes], year: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in members.items():
            target.writestr(zipfile.ZipInfo(name, date_time=(year, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def test_dates_and_order_do_not_matter() -> None:
    inner = archive({"docProps/core.xml": CORE, "b": b"2"}, 2001)
    other = archive({"b": b"2", "docProps/core.xml": CORE.replace(b"2026", b"2027")}, 2002)
    first = archive({"b": b"1", "a.xlsx": inner, "[Content_Types].xml": b"t"}, 2003)
    second = archive({"[Content_Types].xml": b"t", "a.xlsx": other, "b": b"1"}, 2004)
    assert stable_archive(first) == stable_archive(second)


def test_contents_are_kept() -> None:
    content = stable_archive(
        archive({"z": b"1", "docProps/core.xml": CORE, "[Content_Types].xml": b"t"}, 2003)
    )
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.namelist() == ["[Content_Types].xml", "docProps/core.xml", "z"]
        assert found.read("z") == b"1"
        assert found.read("docProps/core.xml") == b"<a><title>kept</title></a>"
        assert {member.date_time[0] for member in found.infolist()} == {1980}
