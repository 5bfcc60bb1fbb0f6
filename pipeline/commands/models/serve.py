"""`python -m pipeline serve`: the server, from what people type."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.commands.addresses.exported import add_exported, exported_folder
from pipeline.commands.terminal import say
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.processes.child_process import Say
from pipeline.serving.application import Settings
from pipeline.serving.http.access_control import Access, is_loopback
from pipeline.serving.limits import MEGABYTE, Limits
from pipeline.serving.server import run_server
from pipeline.tracking.store import Store

TOKEN_VARIABLE = "PIPELINE_SERVE_TOKEN"
"""Environment variable with the bearer token: everybody on the machine can read a command line."""

_SHORTEST_TOKEN = 16
_ENDLESS = 10**9
"""Limits are below this; the system's own clocks and sizes end somewhere."""
_WATCHER = (sys.executable, "-m", "pipeline.tracking.registry.watching")


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_exported(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: %(default)s)")
    command.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        help="switch to another model when one is published or becomes champion, without losing a request "
        "(default: unless --model is given; the registry is watched if there is one and mlflow is installed)",
    )
    command.add_argument(
        "--samples",
        type=Path,
        metavar="FOLDER",
        help="images that the page offers, each named after its class: 7.png or any-7.png (default: samples)",
    )
    _add_access(command.add_argument_group("access"))
    _add_limits(command.add_argument_group("limits; requests beyond them are refused"))


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with a token that /api, /v1 and /metrics then require; "
        f"${TOKEN_VARIABLE} can hold it instead",
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that requests may use; may be repeated (default: on loopback this machine's own "
        "names, elsewhere any)",
    )
    group.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="another website whose pages may use the server, such as https://example.org; may be repeated",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    def add(name: str, default: float, text: str) -> None:
        kind = type(default)
        group.add_argument(f"--{name}", type=_positive(kind), default=default, metavar="N", help=text)

    add(
        "workers", Limits.workers, "processes that decode and predict (default, on this machine: %(default)s)"
    )
    add("max-body-mb", Limits.body_bytes // MEGABYTE, "megabytes of one request (default: %(default)s)")
    add("max-images", Limits.images, "images in one request (default: %(default)s)")
    add("max-pixels", Limits.pixels, "pixels of one image (default: %(default)s)")
    add(
        "receive-seconds",
        Limits.receive_seconds,
        "for a request to arrive, and for its answer to be read (default: %(default)s)",
    )
    add(
        "work-seconds",
        Limits.work_seconds,
        "for an image, or a whole request in TensorFlow Serving's protocol, and to wait for a worker "
        "(default: %(default)s)",
    )
    add("max-requests", Limits.requests, "requests at once (default: %(default)s)")
    add(
        "max-requests-per-client",
        Limits.requests_per_client,
        "requests at once from one address; behind a proxy, all come from one (default: %(default)s)",
    )
    add("max-connections", Limits.connections, "connections at once (default: %(default)s)")
    add(
        "max-connections-per-client",
        Limits.connections_per_client,
        "connections at once from one address (default: %(default)s)",
    )
    add(
        "max-buffered-mb",
        Limits.buffered_bytes // MEGABYTE,
        "megabytes of all requests (default: %(default)s)",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Serve an exported model until Ctrl-C: a web page, a REST API and TensorFlow Serving's protocol."""
    return serve(workspace, store, options, say)


def serve(workspace: Workspace, store: Store, options: argparse.Namespace, say: Say) -> int:
    """Serve until Ctrl-C or SIGTERM; returns 0.

    Args:
      workspace: the project, or any folder where options.model is given.
      store: where a champion may be to follow.
      options: what `add_arguments` has declared.
      say: is told where the server listens.

    Raises:
      PipelineError: an option is not valid, the model cannot be loaded, or the address is taken.
    """
    if options.model and options.follow:
        raise PipelineError("--model and --follow exclude each other.", remedy="leave one of them out")
    follow = not options.model and options.follow is not False
    private = is_loopback(options.host)
    access = Access(
        hosts=frozenset(map(_host, options.allow_host)) if private or options.allow_host else None,
        origins=frozenset(map(_origin, options.allow_origin)),
        token=_token(options.token_file),
    )
    settings = Settings(
        folder=exported_folder(workspace, store, options.model),
        format_name=options.format,
        exports=workspace.exports if follow else None,
        watcher=_WATCHER if follow and _can_be_watched(store) else None,
        samples=options.samples or workspace.root / "samples",
        limits=_limits(options),
        access=access,
    )
    if not private and access.token is None:
        say(
            f"Warning: anybody who can reach {options.host} can use this server; "
            f"set ${TOKEN_VARIABLE} to a secret."
        )
    run_server(settings, options.host, options.port, say)
    say("The server has ended.")
    return 0


def _limits(options: argparse.Namespace) -> Limits:
    if options.max_body_mb > options.max_buffered_mb:
        raise PipelineError(
            "The largest allowed request would exceed what all requests may hold.",
            expected="--max-body-mb at most --max-buffered-mb",
            found=f"{options.max_body_mb} and {options.max_buffered_mb}",
            remedy="raise --max-buffered-mb, or lower --max-body-mb",
        )
    return Limits(
        workers=options.workers,
        body_bytes=options.max_body_mb * MEGABYTE,
        images=options.max_images,
        pixels=options.max_pixels,
        receive_seconds=options.receive_seconds,
        work_seconds=options.work_seconds,
        requests=options.max_requests,
        requests_per_client=options.max_requests_per_client,
        connections=options.max_connections,
        connections_per_client=options.max_connections_per_client,
        buffered_bytes=options.max_buffered_mb * MEGABYTE,
    )


def _can_be_watched(store: Store) -> bool:
    """Whether there is a store, and the library to watch it with, asked without importing it."""
    return store.exists and importlib.util.find_spec("mlflow") is not None


def _token(file: Path | None) -> str | None:
    """The bearer token from a file or from the environment; None where neither has one."""
    # Not left where the workers, which open whatever is uploaded, would inherit it.
    token = os.environ.pop(TOKEN_VARIABLE, None)
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PipelineError(f"The token cannot be read from {file}.", found=str(error)) from error
    if token is None:
        return None
    token = token.strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or len(token.split()) > 1:
        raise PipelineError(
            "The token is not suitable.",
            expected=f"at least {_SHORTEST_TOKEN} ASCII characters without spaces",
            remedy='make one: python -c "import secrets; print(secrets.token_urlsafe())"',
        )
    return token


def _host(text: str) -> str:
    """As it is compared: requests are judged by their host's name in lower case, without its port."""
    try:
        fits = ip_address(text).version > 0  # an IPv6 address has colons of its own
    except ValueError:
        fits = bool(text) and not set(text) & set(":/[]")
    if not fits:
        raise PipelineError(
            f"--allow-host {text} is not a host name.",
            expected="a name without scheme and port, such as images.example, or an address without brackets",
        )
    return text.lower()


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or text != f"{parts.scheme}://{parts.netloc}"
        or not parts.netloc
    ):
        raise PipelineError(
            f"--allow-origin {text} is not an origin.",
            expected="scheme and host, such as https://example.org",
        )
    return text.lower()  # as browsers send it


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text} is not a port: 0 to 65535")
    return int(text)


def _positive(kind: type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < _ENDLESS:
            raise argparse.ArgumentTypeError(f"{text} is not above 0, or too large")
        return value

    parse.__name__ = kind.__name__  # argparse shows it: "invalid int value"
    return parse
