"""Watches the champion of a registered model, for a server that must not import MLflow.

    python -m pipeline.tracking.registry.watching NAME

Prints a JSON line when the alias is first read and whenever it has moved, {"version": 3} (null: there is no
champion), and {"problem": "..."} when the registry stops answering. Ends when its standard input does, and
so with the process that has started it.
"""

import json
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.processes.native_output import private_stdout
from pipeline.tracking.registry.registry import CHAMPION, Registry
from pipeline.tracking.store import Store

_EVERY_SECONDS = 3.0


def watch(
    champion: Callable[[], int | None], tell: Callable[[dict[str, Any]], None], wait: Callable[[], bool]
) -> None:
    """Tell what is new of the champion until `wait` says that nobody listens any more.

    Args:
      champion: reads its version; raises PipelineError where it cannot.
      tell: is given {"version": ...} or {"problem": ...}, never the same twice in a row.
      wait: waits a while; returns whether to go on.
    """
    told: dict[str, Any] | None = None
    while True:
        try:
            news: dict[str, Any] = {"version": champion()}
        except PipelineError as error:
            news = {"problem": error.what}
        if news != told:
            tell(news)
            told = news
        if not wait():
            return


def main(name: str) -> None:
    # Ctrl-C in a terminal reaches every process of it; the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    news = private_stdout()  # whatever a library prints would be taken for news

    def wait() -> bool:
        readable, _, _ = select.select([sys.stdin], [], [], _EVERY_SECONDS)
        return not readable  # nothing is ever written to it, so it has been closed

    with Store(Workspace.from_environment()) as store:
        registry = Registry(store, name)
        watch(
            champion=lambda: registry.read().aliases.get(CHAMPION),
            tell=lambda said: print(json.dumps(said), file=news, flush=True),
            wait=wait,
        )


if __name__ == "__main__":
    main(sys.argv[1])
