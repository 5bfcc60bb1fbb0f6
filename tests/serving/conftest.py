"""A tiny exported model, and servers over it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.application import Settings
from pipeline.serving.limits import Limits
from tests.serving.live_server import LiveServer
from tests.serving.tiny_model import export

StartServer = Callable[..., LiveServer]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of version 1 of the model `light`."""
    return export(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def server(exported: Path, project: Path) -> Iterator[LiveServer]:
    """A server with the usual limits, for all tests that leave no trace in it."""
    settings = Settings(folder=exported, samples=project / "samples", limits=Limits(workers=2))
    with LiveServer(settings).running() as running:
        yield running


@pytest.fixture
def start(exported: Path) -> Iterator[StartServer]:
    """Starts servers of a test's own; limits are given by name, other settings as they are."""
    limit_names = set(Limits.__dataclass_fields__)

    with ExitStack() as stack:

        def started(**options: Any) -> LiveServer:
            limits = {name: options.pop(name) for name in limit_names & set(options)}
            settings = Settings(
                **{"folder": exported, "limits": Limits(**{"workers": 1, **limits}), **options}
            )
            return stack.enter_context(LiveServer(settings).running())

        yield started
