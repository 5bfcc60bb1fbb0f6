"""The table of models that the terminal shows after a reproduction."""

import argparse

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.terminal import WIDTH
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import Workspace
from pipeline.inference.model_card import ModelCard
from pipeline.scoring.scores import Scores, load_scores
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Show the scores of all models, which one is best, and where the report is."""
    print_summary(workspace)


def print_summary(workspace: Workspace) -> None:
    """Print scores of all models and references, the best model, and where to see more.

    Raises PipelineError where the pipeline has not been run yet.
    """
    scores, best = load_scores(workspace.scores), read_json(workspace.best)
    references = load_scores(workspace.references) if workspace.references.exists() else {}
    console = Console(width=WIDTH, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for title in ("validation accuracy, %", "test accuracy, %", "macro F1", "log loss", "ECE", "parameters"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, subsets in scores.items():
        chosen = name == best["candidate"]
        parameters = ModelCard.load(workspace.card(name)).parameters.total
        cells = [*_cells(subsets), f"{parameters:,}"]
        table.add_row(f"{name} *" if chosen else name, *cells, style="bold" if chosen else None)
    for name, subsets in references.items():
        table.add_row(name.replace("_", " "), *_cells(subsets), "", style="dim")
    console.print(table)
    console.print(f"* best on the validation subset: {best['candidate']}; macro F1, log loss and ECE on test")
    if workspace.report_page.exists():
        console.print(f"report:     {workspace.report_page.relative_to(workspace.root)}", soft_wrap=True)
    console.print("MLflow UI:  make ui")


def _cells(subsets: dict[str, Scores]) -> list[str]:
    test = subsets["test"]
    figures = [f"{figure:.4f}" for figure in (test.f1_macro, test.log_loss, test.ece)]
    return [_accuracy(subsets["validation"]), _accuracy(test), *figures]


def _accuracy(scores: Scores) -> str:
    """Accuracy with its confidence interval, in percent."""
    interval = scores.accuracy_interval
    return f"{100 * scores.accuracy:.2f} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
