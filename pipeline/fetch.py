"""Import and verify the images of a data set: fetch.location or the network -> data/raw."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.files import atomic_folder
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.images.catalogue import Provenance
from pipeline.params.base import Section
from pipeline.params.fetch import FetchParams
from pipeline.sources.datasets import DATASETS
from pipeline.sources.importing import AcceptanceLimits, import_images
from pipeline.sources.sources import parse_location, rename_classes


class Config(Section):
    fetch: FetchParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    params = config.fetch
    dataset = DATASETS[params.dataset]
    location = parse_location(params.location, workspace.resolve_location)
    with dataset.open(location, workspace.downloads) as opened, atomic_folder(workspace.raw) as folder:
        source = rename_classes(opened, params.class_names)
        limits = AcceptanceLimits(params.max_rejected, params.min_images_per_class)
        catalogue, rejected = import_images(source, limits, folder)
        Provenance(
            dataset=params.dataset,
            location=params.location,
            origin=dataset.origin,
            classes=source.classes,
            fingerprint=source.fingerprint,
            images=len(catalogue),
            rejected=len(rejected),
        ).save(folder / "source.json")
    print(
        f"{len(catalogue):,} images in {len(source.classes)} classes, {len(rejected):,} files rejected",
        flush=True,
    )


if __name__ == "__main__":
    run_stage("fetch", run, Config)
