"""The commands that people type: python -m pipeline <command>.

Each function parses nothing and computes nothing: it calls a floor and prints. What is slow to
import is imported where it is used, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.commands.models.serve import add_options as add_serve_options
from pipeline.execution.failures import failures_explained
from pipeline.execution.process import quiet_libraries, stop_in_good_order
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.tracking.store import Store

Command = Callable[[Workspace, Store, argparse.Namespace], int | None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code of the process."""
    options = _parser().parse_args(arguments)
    quiet_libraries()
    stop_in_good_order()
    workspace = Workspace.from_environment()
    with failures_explained(options.command), Store(workspace) as store:
        return options.run(workspace, store, options) or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="The commands of the pipeline.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=run.__doc__)
        command.set_defaults(run=run)
        return command

    repro = add("repro", _repro, "run what is not up to date, then show the models")
    repro.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="another value for a key of params.yaml, as an experiment; may be repeated",
    )
    add("summary", _summary, "show the models")
    add("sync", _sync, "bring MLflow up to date")
    add("doctor", _doctor, "say what this machine and this checkout have, and what is wrong with them")
    ui = add("ui", _ui, "look at the runs in the MLflow UI")
    ui.add_argument("--port", type=int, default=5000, help="the first port to try (%(default)s)")

    runs = add("runs", _runs, "compare all runs in a table")
    runs.add_argument("--candidate", choices=CANDIDATES, help="only runs of this candidate")
    runs.add_argument("--experiment", metavar="NAME", help="only runs of this DVC experiment")
    runs.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only runs for which it holds, such as 'test_accuracy>0.9' or 'lr=0.1'; may be repeated",
    )
    runs.add_argument("--sort", metavar="COLUMN", default="-started", help="a minus before it: descending")
    runs.add_argument("--limit", type=int, metavar="N", help="at most so many runs")
    runs.add_argument("--all", action="store_true", help="also runs that failed, were killed or still run")
    runs.add_argument("--json", action="store_true", help="JSON instead of a table")

    seeds = add("seeds", _seeds, "run the pipeline under several seeds")
    seeds.add_argument("--count", type=int, default=5, help="how many seeds (%(default)s)")
    seeds.add_argument(
        "--candidate",
        choices=("all", *CANDIDATES),
        default="all",
        help="only this candidate, validation scores only (default: all, evaluated on test too)",
    )

    lineage = add("lineage", _lineage, "where a model comes from, or what a commit has made")
    lineage.add_argument(
        "what",
        metavar="MODEL|RUN|REVISION",
        help="models:/NAME@ALIAS, models:/NAME/VERSION, a run's id, a model file or its folder, or a commit, "
        "branch or DVC experiment",
    )
    lineage.add_argument("--json", action="store_true", help="JSON instead of text")

    compare = add("compare", _compare, "two models side by side in a page")
    for letter in "AB":
        compare.add_argument(
            letter,
            metavar=letter,
            help="best, a candidate, a run's id, models:/NAME@ALIAS, models:/NAME/VERSION, or a commit, "
            "branch or DVC experiment, of which a candidate may be named after a colon",
        )
    compare.add_argument("--output", type=Path, metavar="PAGE", help="default: comparisons/A-B.html")

    verify = add("verify", _verify, "reproduce a revision elsewhere and compare every byte")
    verify.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="default: HEAD")
    verify.add_argument("--stage", metavar="STAGE", help="only this stage, on inputs from the cache")
    verify.add_argument(
        "--from-source", action="store_true", help="import the images anew instead of from DVC's cache"
    )

    register = add("register", _register, "register an evaluated model as challenger")
    register.add_argument("--candidate", choices=("best", *CANDIDATES), default="best")
    _add_name(register)

    promote = add("promote", _promote, "make the challenger champion if it passes all gates")
    promote.add_argument("--force", action="store_true", help="promote although gates refuse; needs --reason")
    promote.add_argument("--reason", metavar="TEXT", default="", help="kept in the history")
    _add_name(promote)

    history = add("history", _history, "every decision about the champion")
    history.add_argument("--json", action="store_true", help="JSON instead of a table")
    _add_name(history)

    rollback = add("rollback", _rollback, "return to the previous champion")
    rollback.add_argument("--reason", metavar="TEXT", default="", help="kept in the history")
    _add_name(rollback)

    export = add("export", _export, "turn a model into files for phones, servers and other runtimes")
    export.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="best, a candidate, a model file or its folder, models:/NAME@ALIAS or models:/NAME/VERSION "
        "(default: the champion, or best where there is none)",
    )
    export.add_argument(
        "--format",
        action="append",
        default=[],
        metavar="FORMAT",
        dest="formats",
        help="only this format, such as litert_fp32 or onnx; may be repeated",
    )

    predict = add("predict", _predict, "say what an exported model sees in images")
    predict.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a file, a folder, or - for standard input"
    )
    predict.add_argument(
        "--model",
        metavar="MODEL",
        help="folder of an export, or NAME[/VERSION] (default: published last)",
    )
    predict.add_argument("--top", type=int, default=3, metavar="K", help="classes to show (%(default)s)")
    predict.add_argument("--format", metavar="FORMAT", help="format to run (default: an exact one)")
    predict.add_argument("--json", action="store_true", help="a line of JSON for each image")

    explain = add("explain", _explain, "show what a model looks at in images")
    explain.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a file, a folder, or - for standard input"
    )
    explain.add_argument(
        "--model",
        metavar="MODEL",
        default="best",
        help="best, a candidate, a model file or its folder, models:/NAME@ALIAS or models:/NAME/VERSION "
        "(default: %(default)s)",
    )
    explain.add_argument(
        "--class",
        metavar="CLASS",
        dest="class_name",
        help="what speaks for this class (default: for the most probable one)",
    )
    explain.add_argument("--top", type=int, default=3, metavar="K", help="classes to show (%(default)s)")
    explain.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for the pictures (default: explanations)"
    )

    add_serve_options(add("serve", _serve, "serve an exported model to browsers and programs"))
    return parser


def _add_name(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--name", metavar="NAME", help="registered model (default: registry.model of params.yaml)"
    )


def _repro(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run the stages whose params, code or inputs have changed; then sync MLflow and show the models."""
    from pipeline.commands.reproducing.repro import reproduce
    from pipeline.commands.runs.summary import print_summary

    code = reproduce(workspace, options.overrides, _say)
    _synchronize(workspace, store)
    if code == 0:
        print_summary(workspace)
    return code


def _summary(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Show the scores of all models, which one is best, and where the report is."""
    from pipeline.commands.runs.summary import print_summary

    print_summary(workspace)


def _sync(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Bring MLflow up to date.

    Deliver what waits in the journal, end the runs of processes that are gone, tag runs with the
    commits of their DVC experiments, and record what DVC took from its run cache.
    """
    unreachable = _synchronize(workspace, store)
    if unreachable:
        raise PipelineError(
            f"MLflow does not have everything yet: {unreachable}.",
            remedy="start the server, or unset MLFLOW_TRACKING_URI to use mlflow.db; then sync again",
        )


def _doctor(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Print versions, processor, memory, disk and optional programs, then what is wrong and how to fix it.

    It changes nothing. Exit code 0 when nothing is wrong, 1 otherwise.
    """
    from pipeline.commands.doctor import examine

    return examine(workspace, _say)


def _ui(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Serve the MLflow UI on this machine until Ctrl-C, after bringing MLflow up to date."""
    from pipeline.params.whole import load_params
    from pipeline.tracking.web.ui import serve_ui

    _synchronize(workspace, store)
    try:
        serve_ui(store, load_params(workspace.params).tracking.experiment, options.port, _say)
    except KeyboardInterrupt:
        _say("The MLflow UI has ended.")


def _runs(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Compare all trainings of all experiments: params, scores with intervals, speed.

    Runs that differ in nothing but their seed are also shown together, with mean and standard deviation.
    """
    from pipeline.commands.runs.runs import Query, show_runs

    _synchronize(workspace, store, quietly=options.json)
    query = Query(
        candidate=options.candidate,
        experiment=options.experiment,
        conditions=tuple(options.where),
        sort=options.sort,
        limit=options.limit,
        unfinished=options.all,
    )
    show_runs(workspace, store, query, as_json=options.json)


def _seeds(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run the pipeline under several seeds, so that differences can be told from noise.

    Each seed is a DVC experiment of its own; the workspace's files stay as they are.
    """
    from pipeline.commands.reproducing.seeds import run_seeds
    from pipeline.commands.runs.runs import Query, show_runs

    _synchronize(workspace, store)
    code = run_seeds(workspace, store, options.count, options.candidate, _say)
    _synchronize(workspace, store)
    show_runs(workspace, store, Query(candidate=None if options.candidate == "all" else options.candidate))
    return code


def _lineage(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Where a model comes from, with the commands that bring it back; or what a commit or experiment made."""
    from pipeline.commands.runs.lineage import show_lineage

    _synchronize(workspace, store, quietly=options.json)
    show_lineage(workspace, store, options.what, as_json=options.json)


def _compare(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Compare two models: params, scores, curves, confusions, and the pictures that one gets right alone."""
    from pipeline.commands.models.compare import compare_models

    _synchronize(workspace, store)
    compare_models(workspace, store, options.A, options.B, options.output, _say)


def _verify(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Reproduce a revision in a temporary clone and compare every output with its dvc.lock, byte for byte.

    Exit code 0 only when all agree, 3 when something differs.
    """
    from pipeline.commands.reproducing.verify import verify

    return verify(workspace, store, options.revision, options.stage, options.from_source, _say)


def _register(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Register an evaluated model in MLflow, with its lineage, scores and card, as challenger."""
    from pipeline.commands.registry.register import register

    _synchronize(workspace, store)
    register(workspace, store, options.candidate, options.name, _say)


def _promote(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Decide whether the challenger becomes champion, by the gates in params.yaml (section registry).

    Exit code 0 when it does, 3 when a gate refuses. Every decision is kept in the history.
    """
    from pipeline.commands.registry.promote import promote

    if options.force and not options.reason.strip():
        raise PipelineError("--force needs a reason.", remedy="add --reason 'why the gates do not count'")
    _synchronize(workspace, store)
    return promote(workspace, store, options.name, options.force, options.reason, _say)


def _history(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Print every promotion, refusal and rollback: when, who, what, why."""
    from pipeline.commands.registry.promote import show_history

    _synchronize(workspace, store, quietly=options.json)
    show_history(workspace, store, options.name, as_json=options.json)


def _rollback(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Make the previous champion champion again; kept in the history."""
    from pipeline.commands.registry.promote import rollback

    _synchronize(workspace, store)
    rollback(workspace, store, options.name, options.reason, _say)


def _export(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Export a model as SavedModel, LiteRT and ONNX files, each compared with the original.

    Exit code 3, and nothing is kept, where a file does not give the original's answers.
    """
    from pipeline.commands.models.export import export

    _synchronize(workspace, store)
    return export(workspace, store, options.model, options.formats, _say)


def _predict(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Predict images with an exported model; an image that cannot be read costs its own line only."""
    from pipeline.commands.models.predict import predict

    return predict(workspace, options.images, options.model, options.top, options.json, options.format)


def _explain(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Show what a trained model looks at: a picture of each image with its heatmap and the probabilities."""
    from pipeline.commands.models.explain import explain

    return explain(
        workspace, store, options.images, options.model, options.class_name, options.output, options.top, _say
    )


def _serve(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Serve an exported model until Ctrl-C: a web page, a REST API and TensorFlow Serving's protocol."""
    from pipeline.commands.models.serve import serve

    return serve(workspace, store, options, _say)


def _synchronize(workspace: Workspace, store: Store, quietly: bool = False) -> str:
    """Sync MLflow and say what that did; returns why MLflow could not be reached, or nothing.

    `quietly` keeps standard output for JSON.
    """
    from pipeline.commands.runs.sync import synchronize

    return synchronize(workspace, store, _say_aside if quietly else _say)


def _say(line: str) -> None:
    print(line, flush=True)


def _say_aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
