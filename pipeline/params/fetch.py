"""fetch: which images."""

from typing import Literal, Self

from pydantic import model_validator

from pipeline.params.base import PositiveInt, Section, Share


class FetchParams(Section):
    dataset: Literal["digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "folder"]
    location: str | None
    class_names: dict[str, str]
    max_rejected: Share
    min_images_per_class: PositiveInt

    @model_validator(mode="after")
    def _folder_needs_location(self) -> Self:
        if self.dataset == "folder" and not self.location:
            raise ValueError(
                "dataset 'folder' needs fetch.location: a directory, .zip or .tar[.gz] of images"
            )
        return self
