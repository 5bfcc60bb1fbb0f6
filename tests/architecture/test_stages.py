"""dvc.yaml, params.yaml and the stage files say the same about every stage."""

import ast
import importlib
import inspect
import re
from pathlib import Path, PurePosixPath
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from pipeline.foundation.declarations import is_within
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import Params

STAGES = (
    "fetch",
    "split",
    "preprocess",
    "train_baseline",
    "train_transfer",
    "tune",
    "evaluate",
    "report",
)
STARTER = "execution"  # starts and records a stage; what only it brings along is not watched
SHARED_SECTIONS = {"augmentation"}
SECTIONS_THAT_TRIGGER_NO_STAGE = {"tracking", "registry", "export"}
MOST_WATCHED = 1.25  # times the lines that a stage imports
WRITTEN_FOLDERS = ("data", "models", "metrics")
MAY_SPELL_FILES = (
    "foundation/workspace.py",
    # These write into any folder, ...
    "sources/importing.py",
    # ... and this one reads arrays wherever they are: pretraining and pruning have theirs in other places.
    "training/data.py",
    "serving/routes/pages.py",  # its own index.html
)


@pytest.fixture(scope="module")
def dvc_stages(project: Path) -> dict[str, dict[str, Any]]:
    text = (project / "dvc.yaml").read_text(encoding="utf-8")
    stages: dict[str, dict[str, Any]] = YAML(typ="safe").load(text)["stages"]
    return stages


@pytest.fixture(scope="module")
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline", cache_dir=None)


def source(project: Path, stage: str) -> ast.Module:
    return ast.parse((project / "pipeline" / f"{stage}.py").read_text(encoding="utf-8"))


def config_fields(stage: ast.Module) -> list[str]:
    """Of Config: those of its base, which lies in pipeline.params, and its own.

    The stage is read, not imported: TensorFlow's import takes nine seconds.
    """
    config = next(node for node in stage.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    (base,) = map(ast.unparse, config.bases)
    home = next(
        node.module
        for node in stage.body
        if isinstance(node, ast.ImportFrom) and base in [name.name for name in node.names]
    )
    inherited = getattr(importlib.import_module(str(home)), base).model_fields
    return [
        *inherited,
        *(ast.unparse(node.target) for node in config.body if isinstance(node, ast.AnnAssign)),
    ]


def paths(entries: list[Any]) -> list[str]:
    """The paths of a stage's deps or outs; an entry with options is a mapping of one key."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outs(stage: dict[str, Any]) -> list[str]:
    return paths([*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])])


def test_every_file_is_a_stage_and_every_stage_a_file(project: Path, dvc_stages: dict[str, Any]) -> None:
    files = {path.stem for path in (project / "pipeline").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(STAGES)
    assert list(dvc_stages) == list(STAGES)


def test_every_stage_has_its_section_of_params(project: Path) -> None:
    values = YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))
    sections = {name for name, value in values.items() if isinstance(value, dict)}
    assert sections == set(STAGES) | SHARED_SECTIONS | SECTIONS_THAT_TRIGGER_NO_STAGE
    assert set(values) == set(Params.model_fields)


def test_no_key_of_params_is_idle(dvc_stages: dict[str, Any]) -> None:
    watched = {key for stage in dvc_stages.values() for key in stage["params"]}
    assert watched == set(Params.model_fields) - SECTIONS_THAT_TRIGGER_NO_STAGE


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_started_as_a_module(stage: str, dvc_stages: dict[str, Any]) -> None:
    # Python puts the current folder first for -m, so that a queued experiment imports its own copy.
    assert dvc_stages[stage]["cmd"] == f"python -m pipeline.{stage}"
    assert set(dvc_stages[stage]) <= {"cmd", "params", "deps", "outs", "metrics", "plots"}


@pytest.mark.parametrize("stage", STAGES)
def test_config_is_what_dvc_watches(project: Path, stage: str, dvc_stages: dict[str, Any]) -> None:
    assert config_fields(source(project, stage)) == dvc_stages[stage]["params"]


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_watches_all_that_a_stage_imports_and_little_else(
    project: Path, stage: str, dvc_stages: dict[str, Any], import_graph: grimp.ImportGraph
) -> None:
    """What is not watched would not rerun the stage; what is not needed would rerun it for nothing."""
    imported = {
        module_file(project, module) for module in imported_modules(import_graph, f"pipeline.{stage}")
    }
    watched = watched_files(project, dvc_stages[stage])
    assert {
        str(path.relative_to(project)) for path in imported - watched if not only_docstring(path)
    } == set()
    assert lines_of(watched) <= MOST_WATCHED * lines_of(imported)


@pytest.mark.parametrize(
    ("edited", "stages"),
    [
        ("pipeline/reporting/slides/theme.py", {"report"}),
        ("pipeline/reporting/topics/explanations/heatmaps.py", {"report"}),
        ("pipeline/recording/finished_evaluation.py", set()),
        ("pipeline/params/export.py", set()),
        ("pipeline/params/registry.py", set()),
        ("pipeline/params/whole.py", set()),
        ("pipeline/params/evaluate.py", {"evaluate", "report"}),
        ("pipeline/tuning/searching.py", {"tune"}),
        ("pipeline/params/tune.py", {"tune"}),
        ("pipeline/backbones/bundled_backbone.npz", {"train_transfer", "tune"}),
        ("pipeline/processes/resumption.py", {"train_baseline", "train_transfer", "tune"}),
        ("pipeline/networks/from_scratch.py", {"train_baseline", "tune"}),
        ("pipeline/backbones/transfer.py", {"train_transfer", "tune"}),
        ("pipeline/pretraining/bundled_backbone.py", set()),
        ("pipeline/sources/download.py", {"fetch"}),
        ("pipeline/studies/analysis.py", set()),
        ("pipeline/promotion/gates.py", set()),
    ],
)
def test_an_edit_reruns_the_stages_that_it_concerns(
    project: Path, edited: str, stages: set[str], dvc_stages: dict[str, Any]
) -> None:
    assert (project / edited).is_file()
    watching = {
        name
        for name, stage in dvc_stages.items()
        if any(is_within(edited, path) for path in paths(stage["deps"]))
    }
    assert watching == stages


def imported_modules(import_graph: grimp.ImportGraph, module: str) -> set[str]:
    """A module and all of ours that it imports by itself, directly or not."""
    found, to_visit = {module}, [module]
    while to_visit:
        for imported in import_graph.find_modules_directly_imported_by(to_visit.pop()):
            parts = imported.split(".")
            if parts == ["pipeline"] or parts[1] == STARTER:
                continue
            # Importing a module runs its packages' __init__ as well.
            new = {".".join(parts[:depth]) for depth in range(2, len(parts) + 1)} - found
            found |= new
            to_visit += new
    return found


def module_file(project: Path, module: str) -> Path:
    path = project.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def watched_files(project: Path, stage: dict[str, Any]) -> set[Path]:
    declared = [project / path for path in paths(stage["deps"]) if is_within(path, "pipeline")]
    return {file for path in declared for file in ([path] if path.is_file() else path.rglob("*.py"))}


def only_docstring(path: Path) -> bool:
    """Of a package that says what it is and does nothing."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)


def lines_of(files: set[Path]) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def test_the_package_itself_computes_nothing(import_graph: grimp.ImportGraph) -> None:
    """pipeline/__init__.py is not a dependency of any stage, so it may not bring along what decides a result.

    All stages watch foundation anyway; who has started a stage does not matter to what it computes.
    """
    brought = {"pipeline.foundation.environment", "pipeline.processes.starting_process"}
    assert import_graph.find_modules_directly_imported_by("pipeline") == brought


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_is_read_was_written_by_an_earlier_stage(stage: str, dvc_stages: dict[str, Any]) -> None:
    earlier = STAGES[: STAGES.index(stage)]
    written = {path for name in earlier for path in outs(dvc_stages[name])}
    read = {path for path in paths(dvc_stages[stage]["deps"]) if path.startswith(WRITTEN_FOLDERS)}
    assert read <= written


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_files(stage: str, dvc_stages: dict[str, Any]) -> None:
    """DVC empties a folder that is an output before the stage runs, whoever has put something there."""
    assert [path for path in outs(dvc_stages[stage]) if not PurePosixPath(path).suffix] == []


def test_only_evaluate_and_report_can_see_the_test_subset(dvc_stages: dict[str, Any]) -> None:
    test_subset = PurePosixPath("data/arrays/test")
    readers = {
        name
        for name, stage in dvc_stages.items()
        for path in paths(stage["deps"])
        if test_subset.is_relative_to(path) or PurePosixPath(path).is_relative_to(test_subset)
    }
    assert readers == {"evaluate", "report"}


def test_nothing_that_trains_or_scores_sees_the_raw_images(dvc_stages: dict[str, Any]) -> None:
    """The networks learn from arrays alone."""
    stages = [dvc_stages[name] for name in ("train_baseline", "train_transfer", "tune", "evaluate")]
    assert not [path for stage in stages for path in paths(stage["deps"]) if is_within(path, "data/fetched")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_thin_and_has_the_usual_shape(project: Path, stage: str) -> None:
    module = source(project, stage)
    text = (project / "pipeline" / f"{stage}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150, "move work to a floor"
    run = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    assert [argument.arg for argument in run.args.args] == ["workspace", "config", "tracker"]
    assert ast.unparse(module.body[-1]) == (
        f"if __name__ == '__main__':\n    run_stage('{stage}', run, Config)"
    )


def test_only_workspace_knows_where_things_are(project: Path) -> None:
    """Where others have a copy of a folder, they have its files' names from workspace.py too."""
    code = project / "pipeline"
    files = {file.relative_to(code).as_posix(): file for file in code.rglob("*.py")}
    assert [
        f"{name}:{spelled}"
        for name, file in files.items()
        if name not in MAY_SPELL_FILES
        for spelled in spelled_paths(ast.parse(file.read_text(encoding="utf-8")))
    ] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("folder / 'card.json'", True),
        ("f'{folder}/card.json'", True),
        ("['git', 'show', 'metrics/evaluate.json']", True),
        ("root / 'models'", True),
        ("root / f'models/{candidate}'", True),
        ("Path('data')", True),
        ("f'{path} has no card.json'", False),
        ("f'models/{candidate} was trained on other classes'", False),
        ("values['models']", False),
        ("folder / 'published.json'", False),
    ],
)
def test_a_spelled_path_is_found(code: str, found: bool) -> None:
    assert bool(spelled_paths(ast.parse(code))) == found


def spelled_paths(module: ast.Module) -> list[str]:
    """Line and text of what is a path of a written file or folder, not a sentence that names one."""
    file = re.compile(rf"(\S*/)?({'|'.join(map(re.escape, written_files()))})")
    folder = re.compile(rf"({'|'.join(WRITTEN_FOLDERS)})(/.*)?")
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and file.fullmatch(str(node.value)):
            found.append(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found += [text for text in leading_texts([node.right]) if folder.fullmatch(str(text.value))]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("Path", "open", "pathlib.Path"):
            found += [text for text in leading_texts(node.args) if folder.fullmatch(str(text.value))]
    return [f"{text.lineno} {text.value!r}" for text in found]


def leading_texts(nodes: list[ast.expr]) -> list[ast.Constant]:
    """Texts, and what f-strings begin with."""
    begins = [node.values[0] if isinstance(node, ast.JoinedStr) else node for node in nodes]
    return [node for node in begins if isinstance(node, ast.Constant)]


def test_those_that_may_spell_file_names_do(project: Path) -> None:
    for name in MAY_SPELL_FILES:
        text = (project / "pipeline" / name).read_text(encoding="utf-8")
        assert any(file in text for file in written_files()), name


def written_files() -> set[str]:
    """The names of all files that Workspace places in WRITTEN_FOLDERS."""
    here = Workspace(root=Path(), home=Path())
    places = [getattr(here, name) for name, member in vars(Workspace).items() if isinstance(member, property)]
    places += [here.network("tuned"), here.card("tuned"), here.history("tuned")]
    return {place.name for place in places if place.suffix and place.parts[0] in WRITTEN_FOLDERS}


def test_every_path_of_the_workspace_is_used(project: Path) -> None:
    used = {
        node.attr
        for path in (project / "pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self"
    }
    members = {
        name
        for name, member in vars(Workspace).items()
        if isinstance(member, property | classmethod) or inspect.isfunction(member)
    }
    assert {name for name in members if not name.startswith("_")} - used == set()
