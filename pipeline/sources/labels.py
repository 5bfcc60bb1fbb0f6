"""Labels that stand in a table or in the names of files, instead of in the names of folders."""

import csv
import io
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few, shown
from pipeline.images.catalogue import UnusedFile
from pipeline.images.decoding import UnreadableImageError
from pipeline.sources.arrangement import Arrangement, subset_of_path, subset_told_by
from pipeline.sources.collection import FileCollection
from pipeline.sources.sources import SourceImage
from pipeline.sources.walking import has_image_extension, is_beside_images, why_no_image

_NAME_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "image",
    "image_name",
    "image_id",
    "id",
    "name",
    "path",
    "img",
)
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "species", "breed", "y")


def arrange_by_table(files: FileCollection, table: str, columns: tuple[str, str] | None) -> Arrangement:
    """Images whose classes stand in a CSV file among the files.

    Args:
      files: all of the source.
      table: its name or path; its first line names the columns.
      columns: those of the image's file (its path from the top or from the table, or an end of that, each
        with or without extension) and of its class; None where their names tell.

    Raises PipelineError where the table is missing or there are several, has other columns, names none of the
    files, or leaves open which file or class it means.
    """
    place = _find(table, files)
    labels = _labels(_text(files.read, place), place, columns)
    rows = _rows_of_files([*sorted(files.sizes), *(each.file for each in files.rejected)], labels, place)

    def label_of(name: str) -> str:
        return _label_of(name, rows.get(name, ()), labels, place)

    found = _arranged(files, label_of, f"has no row in {shown(place)}")
    found.classes.update(labels.values())
    if not found.images:
        raise PipelineError(
            f"No image is in the table {shown(place)}.",
            expected="rows with the path or the name of a file, with or without its extension",
            found=first_few(sorted(labels), 3),
        )
    if missing := sorted(labels.keys() - {key for keys in rows.values() for key in keys}):
        found.notes.append(
            f"{len(missing):,} rows of {shown(place)} name no image that is there: {first_few(missing, 3)}"
        )
    return found


def arrange_by_pattern(files: FileCollection, pattern: str) -> Arrangement:
    """Images whose classes stand in their paths.

    `pattern` is a regular expression with a group called `label`, such as `(?P<label>[a-z]+)_[0-9]+`; it is
    looked for in the path. Raises PipelineError where no path fits.
    """
    expression = re.compile(pattern)

    def label_of(name: str) -> str:
        match = None if is_beside_images(name) else expression.search(unicodedata.normalize("NFC", name))
        return (match["label"] or "") if match else ""

    found = _arranged(files, label_of, "does not fit fetch.label_pattern")
    if not found.images:
        raise PipelineError(
            "No image has a name in which fetch.label_pattern finds a label.",
            expected=f"names that fit {pattern}",
            found=first_few([each.file for each in found.ignored], 3),
        )
    return found


def _arranged(files: FileCollection, label_of: Callable[[str], str], why_without: str) -> Arrangement:
    """What has a label is meant as an image, however it is called: reading it tells why it is none."""
    found = Arrangement()
    for name in sorted(files.sizes):
        if label := label_of(name):
            found.images.append(SourceImage(name, label, subset_of_path(name)))
        else:
            reason = why_without if has_image_extension(name) else why_no_image(name)
            found.ignored.append(UnusedFile(name, reason))
    found.ignored.extend(files.ignored)
    found.rejected.extend(replace(each, class_name=label_of(each.file)) for each in files.rejected)
    found.classes.update(image.class_name for image in found.images)
    found.classes.update(each.class_name for each in found.rejected if each.class_name)
    return found


def _find(table: str, files: FileCollection) -> str:
    """The path of the table."""
    wanted = _key(table)
    names = sorted(files.sizes)

    def is_meant(name: str) -> bool:
        return f"/{_key(name)}".endswith(f"/{wanted}")

    places = list(filter(is_meant, names))
    exact = [name for name in places if _key(name) == wanted]
    if len(exact or places) == 1:
        return (exact or places)[0]
    if places:
        raise PipelineError(
            f"There are several tables '{shown(table)}'.",
            expected="the path of one of them (fetch.labels)",
            found=first_few(places),
        )
    for unused in (*files.rejected, *files.ignored):  # as too large, or closed
        if is_meant(unused.file):
            raise PipelineError(
                f"The table of labels '{shown(unused.file)}' cannot be read (fetch.labels).",
                expected="a file that may be opened, of at most fetch.limits.file_mb",
            )
    raise PipelineError(
        f"The table of labels '{shown(table)}' is not among the files (fetch.labels).",
        expected="the name of a CSV file within fetch.location",
        found=first_few([name for name in names if name.endswith((".csv", ".tsv"))]) or "no .csv or .tsv",
    )


def _key(path: str) -> str:
    """A path in the one form in which rows and files are compared, whatever has written them."""
    path = posixpath.normpath(unicodedata.normalize("NFC", path.strip()).replace("\\", "/")).lstrip("/")
    base, extension = posixpath.splitext(path)
    return base + extension.lower() if has_image_extension(path) else path


def _rows_of_files(names: Iterable[str], labels: Mapping[str, str], table: str) -> dict[str, list[str]]:
    """For each file the rows that name it.

    A row that may name several means the image rather than another file, then the path rather than its end,
    then the name with its extension, then a file in the subset that the table tells. Where that leaves
    several, nobody can know which.
    """
    told, folder = subset_told_by(table), _key(table).split("/")[:-1]
    fitting: dict[str, tuple[tuple[bool, ...], list[str]]] = {}
    for name in names:
        subset = subset_of_path(name)
        elsewhere = bool(told) and subset != told
        for key, whole, with_extension in _ways_to_name(name, folder):
            if key not in labels or (elsewhere and subset and not whole):
                continue  # '7' in train.csv is never test/7.png
            rank = (not has_image_extension(name), not whole, not with_extension, elsewhere)
            best, fit = fitting.setdefault(key, (rank, []))
            if rank < best:
                fitting[key] = (rank, [name])
            elif rank == best:
                fit.append(name)
    rows: dict[str, list[str]] = {}
    for key, (_, fit) in fitting.items():
        if len(fit) > 1:
            raise PipelineError(
                f"'{shown(key)}' in {shown(table)} may be several files.",
                expected="one file for each row",
                found=first_few(fit),
                remedy="write paths into the table, or move away the files that it does not mean",
            )
        rows.setdefault(fit[0], []).append(key)
    return rows


def _ways_to_name(name: str, folder: Sequence[str]) -> Iterator[tuple[str, bool, bool]]:
    """How a table in `folder` may name a file, whether that is the whole path, and with the extension."""
    parts = _key(name).split("/")
    for start in range(len(parts)):
        whole = start == 0 or parts[:start] == folder
        end = "/".join(parts[start:])
        yield end, whole, True
        without, extension = posixpath.splitext(end)
        if extension and not is_beside_images(name):
            yield without, whole, False


def _label_of(name: str, rows: Sequence[str], labels: Mapping[str, str], table: str) -> str:
    """The class of a file, by the rows that name it; empty without any."""
    told = sorted({labels[row] for row in rows})
    if len(told) > 1:
        raise PipelineError(
            f"{shown(table)} gives {shown(name)} two classes.",
            expected="one row per image",
            found=first_few([f"'{row}' is {labels[row]}" for row in rows]),
        )
    return told[0] if told else ""


def _text(read: Callable[[str], bytes], name: str) -> str:
    try:
        return read(name).decode("utf-8-sig")
    except (UnreadableImageError, UnicodeDecodeError) as error:
        raise PipelineError(
            f"The table {shown(name)} cannot be read.", expected="text in UTF-8", found=str(error)
        ) from error


def _labels(text: str, table: str, columns: tuple[str, str] | None) -> Mapping[str, str]:
    """The class of each image, by what the table calls it."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    folder = posixpath.dirname(table)
    labels: dict[str, str] = {}
    try:
        name, label = _columns(list(rows.fieldnames or ()), table, columns)
        for row in rows:
            path = (row[name] or "").strip()
            value = unicodedata.normalize("NFC", (row[label] or "").strip())
            if not path or not value:
                continue
            key = _key(path)
            if key.startswith("../"):
                key = posixpath.normpath(posixpath.join(folder, key))
            if labels.setdefault(key, value) != value:
                raise PipelineError(
                    f"{shown(table)} gives '{shown(key)}' two classes.",
                    expected="one row per image",
                    found=first_few((labels[key], value)),
                )
    except csv.Error as error:
        raise PipelineError(
            f"The table {shown(table)} cannot be read.",
            expected="a CSV file, in which each quotation mark has its second one",
            found=f"{error}, by line {rows.line_num:,}",
        ) from error
    return labels


def _columns(there: Sequence[str], table: str, columns: tuple[str, str] | None) -> tuple[str, str]:
    """Those of the image and of its class."""
    name, label = columns or (_only(there, _NAME_COLUMNS), _only(there, _LABEL_COLUMNS))
    if columns is None and len(there) == 2 and bool(name) != bool(label):
        other = next(each for each in there if each != (name or label))
        name, label = name or other, label or other
    if there.count(name) != 1 or there.count(label) != 1:
        raise PipelineError(
            f"It is not known which columns of {shown(table)} are the image and its class.",
            expected="fetch.label_columns: [column of the file, column of the class]",
            found=f"the columns {first_few(there, 12)}",
        )
    return name, label


def _only(there: Sequence[str], known: Sequence[str]) -> str:
    """The one column that has one of these names; empty where there are none or several."""
    named = [column for column in there if column.strip().lower() in known]
    return named[0] if len(named) == 1 else ""
