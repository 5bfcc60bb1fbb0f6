"""What is meant to fill the memory or to take for ever: fetch stays below 1 GB and ten seconds a file."""

import io
import json
import struct
import subprocess
import sys
import tarfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is asked of Linux"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

MOST_BYTES = 1e9
MOST_SECONDS_PER_FILE = 10.0
SIDE = 10_000

FETCH = """
    import json, sys, time
    from pathlib import Path
    from pipeline import fetch
    from pipeline.foundation.errors import PipelineError
    from pipeline.foundation.tracker import SilentTracker
    from pipeline.foundation.workspace import Workspace
    from tests.fetch_params import fetch_params

    location, root = map(Path, sys.argv[1:])
    params = fetch_params(location=str(location), max_rejected=1.0)
    began, refused = time.monotonic(), ""
    try:
        fetch.run(Workspace(root, root), fetch.Config(fetch=params), SilentTracker())
    except PipelineError as error:
        refused = str(error)
    # Not getrusage, which counts what the process was forked from.
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    peak = 1024 * int(line.split()[1])
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "peak": peak, "refused": refused, "written": size}))
"""


def png(side: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def good(path: Path, files: dict[str, bytes]) -> Path:
    """With two classes of images that are well."""
    return folder(path / "images", {"a/good.png": png(20), "b/good.png": png(21), **files})


def large_images(path: Path) -> Path:
    modes = {"RGB": png(SIDE), "RGBA": png(SIDE, "RGBA"), "L": png(SIDE, "L"), "gray 16": png(SIDE, "I;16")}
    return good(path, {f"{name}/{mode}.png": data for name in "ab" for mode, data in modes.items()})


def large_jpegs(path: Path) -> Path:
    files = {}
    for mode in ("RGB", "L", "CMYK"):
        for progressive in (False, True):
            buffer = io.BytesIO()
            Image.new(mode, (SIDE, SIDE)).save(buffer, "JPEG", progressive=progressive, subsampling=0)
            files[f"a/{mode}-{progressive}.jpg"] = buffer.getvalue()
    return good(path, files)


def other_large_formats(path: Path) -> Path:
    files = {}
    quickly: dict[str, dict[str, Any]] = {
        "GIF": {},
        "WEBP": {"method": 0, "quality": 1},
        "TIFF": {"compression": "tiff_deflate"},
        "BMP": {},
        "AVIF": {"speed": 10},
    }
    for name, options in quickly.items():
        buffer = io.BytesIO()
        side = 8_000 if name in ("BMP", "AVIF") else SIDE
        Image.new("P" if name in ("GIF", "BMP") else "RGB", (side, side)).save(buffer, name, **options)
        files[f"a/{name}.{name.lower()}"] = buffer.getvalue()
    return good(path, files)


def many_scans(path: Path) -> Path:
    """A progressive JPEG whose last scan comes a thousand times."""
    buffer = io.BytesIO()
    Image.new("L", (4000, 4000)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    return good(path, {"a/scans.jpg": data[:-2] + scan * 1000 + data[-2:]})


def lying_zip(path: Path) -> Path:
    """Members that expand to a hundred times what the archive promises."""
    file = path / "lies.zip"
    content = bytes(300_000_000)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        for name in "ab":
            for number in range(2):
                archive.writestr(f"{name}/{number}.png", content if number else png(20))
    data = bytearray(file.read_bytes())
    lie = len(content).to_bytes(4, "little")
    while (at := data.find(lie)) >= 0:
        data[at : at + 4] = (3_000_000).to_bytes(4, "little")
    file.write_bytes(data)
    return file


def tails(path: Path) -> Path:
    """Valid images, each with a hundred megabytes of zeros behind it."""
    file = path / "tails.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            for number in range(4):
                archive.writestr(f"{name}/{number}.png", png(20 + number) + bytes(100_000_000))
    return file


def long_headers(path: Path) -> Path:
    """A name, and values about a member, of gigabytes."""
    file = path / "headers.tar"
    with file.open("wb") as stream:
        for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            member = tarfile.TarInfo("x")
            member.type, member.size = kind, 6_000_000_000
            stream.write(member.tobuf(tarfile.GNU_FORMAT))
            stream.truncate(stream.tell() + 6_000_000_000)
            stream.seek(0, 2)
    return file


def compressed_text(path: Path) -> Path:
    """A PNG whose comment expands to a gigabyte."""
    image = png(20)
    chunk = b"x\0\0" + zlib.compress(bytes(1_000_000_000), 1)
    body = b"zTXt" + chunk
    text = len(chunk).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return good(path, {"a/comment.png": image[:33] + text + image[33:]})


def many_parts(path: Path) -> Path:
    """Valid images with millions of empty parts, of each of which a decoder keeps something."""
    files = {}
    for name, behind, part in (
        ("JPEG", 2, b"\xff\xe5\0\2"),
        ("PNG", 33, b"\0\0\0\0aaAa" + zlib.crc32(b"aaAa").to_bytes(4, "big")),
        ("GIF", 781, b"\x21\xfe\x01x\0"),
    ):
        buffer = io.BytesIO()
        Image.linear_gradient("L").save(buffer, name)
        data = buffer.getvalue()
        files[f"a/parts.{name.lower()}"] = data[:behind] + part * (100_000_000 // len(part)) + data[behind:]
    return good(path, files)


def slow_netpbm(path: Path) -> Path:
    """Pixels as text, and in a range that has to be computed: Pillow does both in Python."""
    size = b" 4000 4000 "
    return good(
        path,
        {
            "a/text.pgm": b"P2" + size + b"255\n" + b"7 " * 4000**2,
            "a/range.ppm": b"P6" + size + b"200\n" + bytes(48_000_000),
        },
    )


def large_tile(path: Path) -> Path:
    """A TIFF of 20 x 20 pixels in the corner of a tile of a gigabyte."""
    side = 20_000
    tile = zlib.compress(bytes(3 * side**2), 1)
    numbers = {256: 20, 257: 20, 258: 8, 259: 8, 262: 2, 277: 3, 322: side, 323: side, 325: len(tile)}
    place = 8 + 2 + 12 * (len(numbers) + 1) + 4
    entries = sorted({**numbers, 324: place}.items())
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return good(path, {"a/tile.tif": head + tags + bytes(4) + tile})


def run_lengths(path: Path) -> Path:
    """A BMP of many short runs."""
    runs = b"\1\7" * 30_000_000
    sizes = struct.pack("<IiiHHIIiiII", 40, 8000, 8000, 1, 8, 1, len(runs), 0, 0, 256, 0)
    header = b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078)
    return good(path, {"a/runs.bmp": header + sizes + bytes(1024) + runs})


def sparse(path: Path) -> Path:
    location = good(path, {})
    with (location / "a" / "huge.png").open("wb") as file:
        file.truncate(10**12)
    return location


@pytest.mark.parametrize(
    "make",
    [
        *(large_images, large_jpegs, other_large_formats, many_scans, lying_zip, tails),
        *(long_headers, compressed_text, many_parts, large_tile, slow_netpbm, run_lengths, sparse),
    ],
)
def test_fetch_stays_small_and_quick(tmp_path: Path, project: Path, make: Callable[[Path], Path]) -> None:
    location = make(tmp_path)
    files = sum(path.is_file() for path in location.rglob("*")) if location.is_dir() else 8
    root = tmp_path / "project"
    root.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(FETCH), str(location), str(root)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(make.__name__, found, done.stdout)
    assert found["peak"] < MOST_BYTES
    assert found["seconds"] < MOST_SECONDS_PER_FILE * files
    assert found["written"] < 200e6
