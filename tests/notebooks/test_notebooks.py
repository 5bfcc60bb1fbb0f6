"""The notebooks: paired with their scripts, without outputs, and running from top to bottom.

They run in a copy of the project, where it can be seen that they change nothing.
"""

import shutil
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NAMES = ("explore_the_data", "train_and_compare", "explain", "your_own_folder")
SECONDS = 900


@pytest.fixture(scope="module")
def copy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the notebooks need of the project."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("pipeline", "notebooks"):
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(project / name, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_all_notebooks_are_known(project: Path) -> None:
    for ending in ("py", "ipynb"):
        assert {path.stem for path in (project / "notebooks").glob(f"*.{ending}")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_what_its_script_says(project: Path, name: str) -> None:
    """To fix: make notebooks, or jupytext --to ipynb notebooks/*.py"""
    script = jupytext.read(project / "notebooks" / f"{name}.py")
    notebook = nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]
    assert notebook.metadata.kernelspec == script.metadata.kernelspec
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs(project: Path, name: str) -> None:
    notebook = nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not any(cell.metadata for cell in notebook.cells)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("name", "start"),
    [(name, "notebooks") for name in NAMES] + [("explore_the_data", ".")],
)
def test_a_notebook_runs_from_top_to_bottom(
    copy: Path, name: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    before = contents(copy)
    notebook = nbformat.read(copy / "notebooks" / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(copy / start)}}
    )

    client.execute()

    assert contents(copy) == before
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert list((tmp_path / "TMPDIR").iterdir()) == [], "the temporary workspaces are still there"
