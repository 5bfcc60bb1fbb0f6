"""Scripts for other interpreters can be run by them: nothing of this project is imported."""

import ast
from pathlib import Path

import pytest

SCRIPTS = (
    "autogluon_search",
    "autokeras_search",
    "bentoml_service",
    "hog_svm",
    "keras_network",
    "litert_classifier",
    "litserve_server",
    "mlflow_scoring",
    "torch_network",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_of_this_project_is_imported(project: Path, name: str) -> None:
    tree = ast.parse((project / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"))
    imported = {
        module.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert imported & {"pipeline", "benchmarks", "tests"} == set()
