"""Office files whose bytes follow from their content alone."""

import io
import re
import zipfile

_EPOCH = (1980, 1, 1, 0, 0, 0)
_CONTENT_TYPES = "[Content_Types].xml"
_PROPERTIES = "docProps/core.xml"
_DATES = re.compile(rb"<dcterms:(created|modified)\b[^>]*>[^<]*</dcterms:\1>")


def stable_archive(content: bytes) -> bytes:
    """The same Office file (.pptx, .xlsx) without dates, members in a fixed order.

    The workbooks behind charts are such files themselves, and treated likewise.
    """
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        # Readers that go through the file once need the types of its parts first.
        for name in sorted(source.namelist(), key=lambda name: (name != _CONTENT_TYPES, name)):
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(member, _stable_member(name, source.read(name)))
    return buffer.getvalue()


def _stable_member(name: str, content: bytes) -> bytes:
    if name.endswith(".xlsx"):
        return stable_archive(content)
    if name == _PROPERTIES:
        return _DATES.sub(b"", content)
    return content
