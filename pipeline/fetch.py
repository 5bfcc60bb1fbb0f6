"""Import and verify the images of a data set: fetch.location or the network -> data/fetched."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.texts import printable
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.images.catalogue import Provenance
from pipeline.params.base import Section
from pipeline.params.fetch import FetchParams
from pipeline.sources.datasets import DATASETS
from pipeline.sources.importing import import_images
from pipeline.sources.sources import parse_location, rename_classes


class Config(Section):
    fetch: FetchParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    params = config.fetch
    dataset = DATASETS[params.dataset]
    location = parse_location(params.location, workspace.resolve_location)
    with dataset.open(location, params, workspace.downloads) as opened:
        source = rename_classes(opened, params.class_names)
        imported = import_images(source, params, workspace.fetched)
        Provenance(
            dataset=params.dataset,
            location=params.location,
            origin=dataset.origin,
            classes=source.classes,
            fingerprint=source.fingerprint,
            images=len(imported.catalogue),
            rejected=len(imported.rejected),
            ignored=len(imported.ignored),
        ).save(workspace.source)
    print(*map(printable, (*imported.lines(), *source.notes)), sep="\n", flush=True)


if __name__ == "__main__":
    run_stage("fetch", run, Config)
