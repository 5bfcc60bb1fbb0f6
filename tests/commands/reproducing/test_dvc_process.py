"""DVC as a process of ours."""

import subprocess
import sys
from pathlib import Path


def test_the_stages_get_this_python(project: Path, tmp_path: Path) -> None:
    """DVC runs whatever `python` is first on the PATH."""
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  which:\n    cmd: python -c 'import sys; print(sys.prefix)'\n"
    )
    source = (
        "import sys; from pathlib import Path;"
        "from pipeline.commands.reproducing.dvc_process import dvc_environment, run_dvc;"
        "sys.exit(run_dvc(Path.cwd(), ['repro', '--quiet'], dvc_environment(), print))"
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(project), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.splitlines()) == ["$ dvc repro --quiet", sys.prefix], done.stderr
