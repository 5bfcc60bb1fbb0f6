"""Choose the subsets: data/fetched -> data/split/split.csv, metrics/split.json."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import SUBSETS, Workspace
from pipeline.images.catalogue import Catalogue, Provenance
from pipeline.images.splitting import SplitRules, make_split
from pipeline.params.base import Section
from pipeline.params.split import SplitParams


class Config(Section):
    split: SplitParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    params = config.split
    rules = SplitRules(params.seed, params.test_share, params.validation_share, params.train_limit)
    catalogue = Catalogue.load(workspace.catalogue)
    source = Provenance.load(workspace.source)
    split, report = make_split(catalogue, source.classes, rules)
    split.save(workspace.split)
    report.save(workspace.split_metrics, source.files)
    print(", ".join(f"{subset}: {len(split.ids[subset]):,} images" for subset in SUBSETS), flush=True)


if __name__ == "__main__":
    run_stage("split", run, Config)
