"""A project on a disk that cannot be written, one that is full, and one with files that cannot be read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.clones import Clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="it takes namespaces of Linux"),
]

READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'

# A disk on which a project finds more space each time, until there is enough.
FULL = """
set -e
mount -t tmpfs -o size=300m none "$1"
cp -a "$2/." "$1"
cd "$1"
for left in 50K 1M 4M; do
  dd if=/dev/zero of=filler bs=1M count=300 status=none || true
  truncate -s "-$left" filler
  code=0; dvc repro || code=$?
  echo "$left: $code"
  rm filler
done
dvc repro
cp dvc.lock "$3"
find data models metrics -name '.*' -type f -printf 'left: %p\\n'
"""


def in_namespace(clone: Clone, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["unshare", "--map-root-user", "--mount", "bash", "-c", script, "bash", *arguments]
    return subprocess.run(
        command, env=clone.environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(autouse=True, scope="module")
def namespaces(pristine: Clone) -> None:
    """A container may forbid them."""
    if in_namespace(pristine, "mount -t tmpfs none /mnt").returncode:
        pytest.skip("here nobody may mount a disk in a namespace of their own")


def test_a_read_only_project_can_be_looked_at(clone: Clone) -> None:
    clone.run(sys.executable, "-m", "pipeline", "sync")
    clone.run(sys.executable, "-m", "pipeline", "register")
    clone.run(sys.executable, "-m", "pipeline", "export", "baseline", "--format", "litert_fp32")
    image = next((clone.folder / "samples").glob("*.png"))
    before = {path: path.stat().st_mtime_ns for path in clone.folder.rglob("*")}

    def asked(*command: str) -> subprocess.CompletedProcess[str]:
        pipeline = (sys.executable, "-m", "pipeline", *command)
        return in_namespace(clone, READ_ONLY, str(clone.folder), *pipeline)

    for command, said in {
        ("summary",): "baseline",
        ("runs",): "baseline",
        ("lineage", "baseline"): "baseline",
        ("history",): "No decision yet",
        ("predict", "--model", "baseline", str(image)): image.name,
    }.items():
        done = asked(*command)
        assert (done.stderr, done.returncode) == ("", 0)
        assert said in done.stdout
    refused = f"{clone.folder} is read-only.\n  to fix:   work in a copy of it, or make it writable\n"
    for name in ("repro", "sync", "register"):
        done = asked(name)
        assert (done.stderr, done.returncode) == (f"{name}: {refused}", 1)
    done = asked("export", "transfer")
    assert "could not be written.\n  found:    Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in clone.folder.rglob("*")} == before


def test_after_a_full_disk_all_goes_on(pristine: Clone, reproduced: Clone, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = in_namespace(pristine, FULL, str(disk), str(pristine.folder), str(tmp_path))
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    codes = re.findall(r"^(\d+[KM]): (\d+)$", done.stdout, re.MULTILINE)
    assert [left for left, code in codes if code != "0"] == ["50K", "1M", "4M"], "there was enough space"
    assert "Traceback" not in said, said[-5000:]
    assert (tmp_path / "dvc.lock").read_text() == reproduced.lock()
    assert "left: " not in done.stdout


def test_what_cannot_be_read_is_named(pristine: Clone, image_folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for path in sorted(image_folder.glob("*/*.png")):
        (images / path.parent.name).mkdir(parents=True, exist_ok=True)
        (images / path.parent.name / path.name).write_bytes(path.read_bytes())
    (images / "cross" / "000.png").chmod(0)
    # The superuser may read everything unless that right is given away.
    right = "-dac_override,-dac_read_search"
    without = ["setpriv", f"--bounding-set={right}", f"--inh-caps={right}"] if os.getuid() == 0 else []
    source = f"""
from pathlib import Path
from pipeline import fetch
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from tests.fetch_params import fetch_params
root = Path({str(tmp_path)!r})
params = fetch_params(location={str(images)!r})
fetch.run(Workspace(root, root), fetch.Config(fetch=params), SilentTracker())
"""
    done = subprocess.run(
        [*without, sys.executable, "-c", source],
        cwd=pristine.folder,
        env=pristine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert "120 files: 119 images of 3 classes, 1 rejected, 0 ignored" in done.stdout
    assert "permission denied (1, for example cross/000.png)" in done.stdout
