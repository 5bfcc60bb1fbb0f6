"""Which files of a source are images of which class, by the names of its folders."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few, shown
from pipeline.images.catalogue import UnusedFile
from pipeline.sources.collection import FileCollection
from pipeline.sources.sources import SourceImage
from pipeline.sources.walking import (
    NOT_AN_IMAGE,
    has_image_extension,
    is_beside_images,
    passed_over,
    why_no_image,
)

_SUBSET_OF_WORD = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ALSO_IN_NAMES_OF_SUBSETS = {"set", "images", "imgs", "data", "dataset", "seg"}
"""`training_set`, `train_images` and `seg_train` are subsets, too."""

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Arrangement:
    """What every file of a source is: together they are all that were given.

    Attributes:
      images: files of a class; whether they are images is not known yet.
      classes: also those without an image.
      rejected: files that look like images and have no class, and those that cannot be read.
      ignored: files that are not meant as images of a class.
      notes: what else a person should know.
    """

    images: list[SourceImage] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    rejected: list[UnusedFile] = field(default_factory=list)
    ignored: list[UnusedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def arrange_by_folders(files: FileCollection) -> Arrangement:
    """Find out which folders are classes and which are subsets.

    A folder beside those of classes is a class as well, even if nothing in it can be used: so it is missed.
    It is none where its files say what it is for: documents, or the classes once more.

    Raises PipelineError where folders of subsets and of classes stand side by side.
    """
    layout = _layout(files.sizes)
    found = Arrangement()
    paths = {name: layout.path(name) for name in sorted(files.sizes)}
    direct = {path[0] for path in paths.values() if len(path) == 2 and not is_beside_images(path[1])}
    meant: set[str] = set()  # has what may be images
    explained: set[str] = set()
    for name, path in paths.items():
        label = path[0] if len(path) > 1 else ""
        if len(path) == 2 and not is_beside_images(name):
            found.images.append(SourceImage(name, label, layout.subset(name)))
        elif not has_image_extension(name):
            found.ignored.append(UnusedFile(name, why_no_image(name), label))
            (explained if _is_document(name) else meant).add(label)
        elif reason := layout.why_ignored(name, direct):
            found.ignored.append(UnusedFile(name, reason, label))
            explained.add(label)
        else:
            found.rejected.append(UnusedFile(name, "is not in the folder of a class", label))
            meant.add(label)
    bare = {layout.class_of(name) for name in files.empty_folders}
    for each in files.ignored:
        label = layout.class_of(each.file)
        found.ignored.append(replace(each, class_name=label))
        if is_beside_images(each.file) and not passed_over(each.file):
            (explained if _is_document(each.file) else meant).add(label)
        elif not each.file.endswith("/"):
            bare.add(label)
    for each in files.rejected:
        found.rejected.append(replace(each, class_name=layout.class_of(each.file)))
        meant.add(found.rejected[-1].class_name)
    found.classes.update(direct, meant, (name for name in bare - explained if not passed_over(name)))
    found.classes.discard("")
    return found


def require_training_images(found: Arrangement) -> None:
    """Raises PipelineError where all images are in folders of other subsets."""
    subsets = {image.official_subset for image in found.images}
    if subsets and subsets.isdisjoint(("", "train")):
        raise PipelineError(
            "There are folders of subsets, and none of training images.",
            expected="a folder train beside the others, or folders whose names are not those of subsets",
            found=", ".join(sorted(subsets)) + f": for example {shown(found.images[0].name)}",
        )


def subset_of(folder: str) -> str:
    """train, validation or test where a folder is named so; else empty."""
    words = _telling_words(folder)
    return _SUBSET_OF_WORD.get(words[0], "") if len(words) == 1 else ""


def subset_told_by(table: str) -> str:
    """The one subset that the path of a table names, as `trainLabels.csv` and `train/labels.csv` do."""
    words = (word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", table))
    told = {_SUBSET_OF_WORD[word] for word in words if word in _SUBSET_OF_WORD}
    return told.pop() if len(told) == 1 else ""


def subset_of_path(name: str) -> str:
    """That of the first folder above a file that is named as a subset; else empty."""
    return next((subset for folder in name.split("/")[:-1] if (subset := subset_of(folder))), "")


@dataclass(frozen=True)
class _Layout:
    """Where the folders of classes are.

    Attributes:
      parents: the folders above those of classes, or of subsets.
      subsets: the folders of subsets, and which; none where there are only classes.
      inner: of each of them, the folders between it and those of its classes.
    """

    parents: Parts
    subsets: Mapping[str, str]
    inner: Mapping[str, Parts]

    def path(self, name: str) -> Parts:
        """The path of a file from the level of the classes on; empty where it is elsewhere."""
        parts = self._below_parents(name)
        if not self.subsets:
            return parts
        return _below(parts[1:], self.inner[parts[0]]) if parts and parts[0] in self.subsets else ()

    def class_of(self, name: str) -> str:
        """The folder at the level of classes in which a file is, at any depth, or that `name` is."""
        path = self.path(name)
        return path[0] if len(path) > 1 else ""

    def subset(self, name: str) -> str:
        return self.subsets.get(self._below_parents(name)[0], "")

    def why_ignored(self, name: str, classes: set[str]) -> str:
        """Why an image that is not directly in the folder of a class is left out on purpose; else empty."""
        parts = self._below_parents(name)
        if self.subsets and len(parts) > 1 and not self.class_of(name) and classes.isdisjoint(parts[:-1]):
            return "has no label: no folder above it is named as a class ('predict' takes it)"
        if not self.subsets and not classes.isdisjoint(parts[1:-1]):
            return "in a second copy of the folders of classes"
        return ""

    def _below_parents(self, name: str) -> Parts:
        parts = _parts(name)
        return () if ".." in parts else _below(parts, self.parents)


def _layout(names: Iterable[str]) -> _Layout:
    paths = [_parts(name) for name in names if not is_beside_images(name)]
    parents = _common_parents(paths)
    below = [_below(path, parents) for path in paths]
    subsets = _subsets(below)
    return _Layout(parents, subsets, {top: _inner(below, top) for top in subsets})


def _parts(name: str) -> Parts:
    """Names of one look may differ in how accents are written, by the system that wrote them."""
    return tuple(unicodedata.normalize("NFC", name).split("/"))


def _below(parts: Parts, parents: Parts) -> Parts:
    """The path below common parents; empty where it is elsewhere."""
    return parts[len(parents) :] if parts[: len(parents)] == parents else ()


def _common_parents(paths: Sequence[Parts], may_be_subset: bool = True) -> Parts:
    """The folders above those of classes (or of subsets, where these may be there)."""
    parents: Parts = ()
    while True:
        below = [path[len(parents) :] for path in paths if path[: len(parents)] == parents]
        tops = {path[0] for path in below if len(path) >= 2}
        if len(tops) != 1 or (may_be_subset and _subsets(below)) or max(map(len, below)) < 3:
            return parents
        parents = (*parents, *tops)


def _inner(paths: Sequence[Parts], top: str) -> Parts:
    """The folders between that of a subset and those of its classes.

    Some archives have every subset in a folder of the same name once more, and Keras wants one around images
    without labels: alone in `test`, a folder `test` or `images` is no class.
    """
    within = [path[1:] for path in paths if path[:1] == (top,)]
    parents = _common_parents(within, may_be_subset=False)
    folders = {path[len(parents)] for path in within if len(_below(path, parents)) > 1}
    only = folders.pop() if len(folders) == 1 else ""
    return (*parents, only) if only and (subset_of(only) or not _telling_words(only)) else parents


def _subsets(paths: Sequence[Parts]) -> dict[str, str]:
    """The top folders that are subsets, and which; empty where the top folders are classes.

    A class may be called `train` (beside `bus` and `car`): it is one when images lie in it directly.
    """
    nested: dict[str, set[Parts]] = defaultdict(set)
    for path in paths:
        if len(path) >= 3:
            nested[path[0]].add(path[1:-1])
    subsets = {top: subset for top in nested if (subset := subset_of(top))}
    others = {top for top in nested if top not in subsets}
    flat = {path[0] for path in paths if len(path) == 2 and path[0] not in nested and not subset_of(path[0])}
    # One folder of images is none of classes: `pred/pred/1.png`.
    if subsets and (flat or any(len(nested[other]) > 1 for other in others)):
        raise PipelineError(
            "Folders of subsets and other folders stand side by side.",
            expected="<class>/<image>, or {train,validation,test}/<class>/<image> and nothing else",
            found=first_few(sorted({*subsets, *others, *flat}), 10),
            remedy="move the other folders away",
        )
    return subsets


def _telling_words(folder: str) -> list[str]:
    words = re.split(r"[-_ .]+", folder.lower())
    return [word for word in words if word and word not in _ALSO_IN_NAMES_OF_SUBSETS]


def _is_document(name: str) -> bool:
    """Whether a file says that its folder is no class; archives and scans may be all that a class has."""
    meant_for_programs = is_beside_images(name) and why_no_image(name) == NOT_AN_IMAGE
    return meant_for_programs and not name.lower().endswith(".pdf")
