"""The web pages: static files of this package, and the sample images."""

import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from pipeline.images.decoding import EXTENSIONS
from pipeline.serving.refusals import Refused
from pipeline.serving.routes.services import Services

_SITE = Path(__file__).parents[1] / "site"
PAGES = {"/": _SITE / "index.html", "/model": _SITE / "model.html", "/docs": _SITE / "docs.html"}
_SAMPLE_SUFFIXES = tuple(f".{extension}" for extension in sorted(EXTENSIONS))

# Some systems register another type for scripts, which a browser that must not guess would refuse to run.
mimetypes.add_type("text/javascript", ".js")


def static_files() -> StaticFiles:
    """Styles, scripts and icons of the pages."""
    return StaticFiles(directory=_SITE)


def find_samples(folder: Path | None) -> dict[str, Path]:
    """The image files in `folder`, by name."""
    if folder is None or not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix in _SAMPLE_SUFFIXES}


def samples_of(classes: tuple[str, ...], samples: Mapping[str, Path]) -> list[str]:
    """Names of the samples that show one of the classes: `3.png`, or `anything-3.png`."""
    return [name for name, path in samples.items() if path.stem.rpartition("-")[2] in classes]


def router(services: Services) -> APIRouter:
    """The pages, and /samples."""
    routes = APIRouter(include_in_schema=False)
    for path, file in PAGES.items():
        routes.add_api_route(path, _page(file), methods=["GET", "HEAD"])

    @routes.get("/samples/{name}")
    async def sample(name: str) -> Response:
        if name not in services.samples:
            raise Refused(404, "no such sample")
        return FileResponse(services.samples[name])

    return routes


def _page(file: Path) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return FileResponse(file, media_type="text/html; charset=utf-8")

    return page
