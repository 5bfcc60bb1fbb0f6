"""Decode and resize the images: data/fetched, data/split -> data/arrays."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import SUBSETS, Workspace
from pipeline.images.array_writing import channel_statistics, write_arrays
from pipeline.images.catalogue import Catalogue, EncodedImages, Provenance
from pipeline.images.splitting import Split
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.base import Section
from pipeline.params.preprocess import PreprocessParams


class Config(Section):
    preprocess: PreprocessParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    params = config.preprocess
    classes = Provenance.load(workspace.source).classes
    spec = PreprocessingSpec(params.image_size, params.resize, params.color, classes)
    catalogue = Catalogue.load(workspace.catalogue)
    split = Split.load(workspace.split)
    label_of = {name: label for label, name in enumerate(classes)}
    with EncodedImages(workspace.encoded_images) as encoded:
        spec.save(workspace.preprocessing)
        for subset in SUBSETS:
            entries = [catalogue.entries[image_id] for image_id in split.ids[subset]]
            labels = [label_of[entry.class_name] for entry in entries]
            levels = write_arrays(workspace.subset(subset), entries, labels, encoded, spec.apply, spec.shape)
            if subset == "train":
                channel_statistics(levels).save(workspace.statistics)
            print(
                f"{subset}: {len(entries):,} images of {params.image_size}x{params.image_size} pixels",
                flush=True,
            )


if __name__ == "__main__":
    run_stage("preprocess", run, Config)
