"""The model that answers, and how another takes its place without a request being lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import preferred_format
from pipeline.serving.limits import Limits
from pipeline.serving.responses import ModelName
from pipeline.serving.workers.pool import Report, WorkerPool, worker_command


@dataclass(frozen=True)
class ServedModel:
    """An exported model with workers that hold it.

    Attributes:
      exported: what export.json says.
      format_name: the format that the workers run.
      pool: the workers.
    """

    exported: ExportedModel
    format_name: str
    pool: WorkerPool

    @property
    def name(self) -> ModelName:
        return ModelName.model_validate(self.exported)


class ModelSwitch:
    """Holds the model that answers at the moment."""

    def __init__(self, limits: Limits, format_name: str | None, report: Report) -> None:
        """`format_name`: the format to run, or None for the preferred one of each export."""
        self._limits = limits
        self._format_name = format_name
        self._report = report
        self._current: ServedModel | None = None
        self._users: dict[WorkerPool, int] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> ServedModel:
        assert self._current is not None, "no model has been switched to yet"
        return self._current

    @property
    def ready(self) -> bool:
        """Whether a request can be answered now."""
        return self._current is not None and self._current.pool.alive > 0

    @asynccontextmanager
    async def using(self) -> AsyncIterator[ServedModel]:
        """The model for one request, which keeps it to its end even if another takes over meanwhile."""
        model = self.current
        self._users[model.pool] += 1
        try:
            yield model
        finally:
            self._users[model.pool] -= 1

    async def switch(self, folder: Path) -> None:
        """Load the export in `folder` beside the current model; from the next request on, it answers.

        Raises:
          PipelineError: it cannot be loaded; the current model stays.
        """
        exported = ExportedModel.load(folder)
        format_name = self._format_name or preferred_format(exported)
        command = worker_command(folder, format_name, self._limits)
        pool = WorkerPool(command, self._limits, self._report)
        await pool.start()
        self._users[pool] = 0
        previous, self._current = self._current, ServedModel(exported, format_name, pool)
        self._report("model", name=exported.name, version=exported.version, format=format_name)
        if previous is not None:
            task = asyncio.create_task(self._retire(previous.pool))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """End all workers."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(pool.close() for pool in self._users))

    async def _retire(self, pool: WorkerPool) -> None:
        """Wait for the last request that uses the pool, then end its workers."""
        while self._users[pool]:
            await asyncio.sleep(0.1)
        await pool.close()
        del self._users[pool]
