"""fetch: which images."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.base import PositiveInt, Section, Share


class FetchLimits(Section):
    """How much may come in; what is beyond is refused before it costs memory or time.

    Attributes:
      pixels: of an image, width times height.
      file_mb: bytes of a file, in millions.
      total_gb: bytes of all files without compression, in billions.
      files: of a folder or archive.
      depth: folders within folders.
    """

    pixels: Annotated[int, Field(ge=1, le=100_000_000)]  # what the later decoders take, too
    file_mb: PositiveInt
    total_gb: PositiveInt
    files: PositiveInt
    depth: PositiveInt

    @property
    def file_bytes(self) -> int:
        return self.file_mb * 10**6

    @property
    def total_bytes(self) -> int:
        return self.total_gb * 10**9


class FetchParams(Section):
    dataset: Literal["digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "folder"]
    location: str | None
    name_encoding: str | None
    labels: str | None
    label_columns: Annotated[tuple[str, str], Field(strict=False)] | None
    label_pattern: str | None
    class_names: dict[str, str]
    max_rejected: Share
    min_images_per_class: PositiveInt
    limits: FetchLimits

    @field_validator("class_names", mode="before")
    @classmethod
    def _names_are_texts(cls, names: Any) -> Any:
        """Classes may be called 0 or true; YAML takes these for a number and a truth value."""
        if not isinstance(names, dict):
            return names
        return {_as_written(old): _as_written(new) for old, new in names.items()}

    @model_validator(mode="after")
    def _folder_needs_location(self) -> Self:
        if self.dataset == "folder" and not self.location:
            raise ValueError(
                "dataset 'folder' needs fetch.location: a directory, .zip or .tar[.gz] of images"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_known_in_one_way(self) -> Self:
        if self.labels and self.label_pattern:
            raise ValueError("labels and label_pattern are both set: one of them is null")
        if self.label_columns and not self.labels:
            raise ValueError("label_columns needs labels, the table that has them")
        if self.label_pattern is not None:
            try:
                known = re.compile(self.label_pattern).groupindex
            except re.error as error:
                raise ValueError(f"label_pattern is not a regular expression: {error}") from None
            if "label" not in known:
                raise ValueError("label_pattern has no group called label: (?P<label>...)")
        return self

    @field_validator("name_encoding")
    @classmethod
    def _is_an_encoding(cls, name: str | None) -> str | None:
        """Of texts (hex is not), and one in which letters and slashes are what they are everywhere."""
        path = "a/0.png"
        try:
            known = name is None or path.encode().decode(name) == path
        except (LookupError, ValueError):
            known = False
        if not known:
            raise ValueError(f"'{name}' is not an encoding of names, such as gbk, shift_jis or cp850")
        return name


def _as_written(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value
