"""What a team has: an MLflow server on PostgreSQL, here on the loopback and for the time of a test.

The command of the server is the one in docs/team/compose.yaml, at addresses of our own.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HOST = "127.0.0.1"
_DEBIAN_BINARIES = Path("/usr/lib/postgresql")
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class TeamServer:
    """A running server; `artifacts` is the folder in which it keeps what is sent to it."""

    address: str
    artifacts: Path


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL; `address` is SQLAlchemy's, without the password."""

    address: str
    password: str


def compose_file(project: Path) -> dict[str, Any]:
    text = (project / "docs" / "team" / "compose.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = YAML(typ="safe").load(text)
    return content


def server_command(compose: Mapping[str, Any], addresses: Mapping[str, str]) -> list[str]:
    """The compose file's command of the server, with other values for the options in `addresses`."""
    program, *words = compose["services"]["mlflow"]["command"]
    options = [word.partition("=")[0] for word in words]
    assert program == "mlflow"
    assert set(addresses) <= set(options), "the compose file does not give these options"
    replaced = [
        f"{option}={addresses[option]}" if option in addresses else word
        for option, word in zip(options, words, strict=True)
    ]
    return [sys.executable, "-m", "mlflow", *replaced]


def postgresql_binaries() -> Path | None:
    """The folder with initdb and postgres: on the PATH, or where Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def running_database(binaries: Path) -> Iterator[Database]:
    """A new PostgreSQL with an empty database `mlflow`; gone, with all its files, afterwards."""
    port, password = free_port(), secrets.token_hex(16)
    account = _unprivileged_account()
    # Not pytest's folder: nobody but its owner may enter that one.
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data, password_file = folder / "data", folder / "password"
        password_file.write_text(password, encoding="utf-8")
        become: list[str] = []
        if account:
            become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            for path in (folder, password_file):
                os.chown(path, account.pw_uid, account.pw_gid)
        making = [str(binaries / "initdb"), f"--pgdata={data}", "--username=mlflow", "--encoding=UTF8"]
        making += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
        _run([*become, *making], folder)
        # No socket file: only the loopback leads there.
        settings = [f"port={port}", f"listen_addresses={HOST}", "unix_socket_directories=", "fsync=off"]
        serving = [str(binaries / "postgres"), "-D", str(data)]
        serving += [part for setting in settings for part in ("-c", setting)]
        # SIGINT: end now, without waiting for those who are connected.
        with _running([*become, *serving], folder, os.environ, stop=signal.SIGINT) as alive:
            alive.wait_until(lambda: _made_database(port, password))
            yield Database(f"postgresql+psycopg2://mlflow@{HOST}:{port}/mlflow", password)


@contextmanager
def running_server(project: Path, database: Database) -> Iterator[TeamServer]:
    """An MLflow server on a database, started as docs/team/compose.yaml has it."""
    compose, port = compose_file(project), free_port()
    with tempfile.TemporaryDirectory(prefix="mlflow-") as name:
        folder = Path(name)
        artifacts = folder / "artifacts"
        addresses = {
            "--host": HOST,
            "--port": str(port),
            "--backend-store-uri": database.address,
            "--artifacts-destination": str(artifacts),
            "--allowed-hosts": f"{HOST}:{port}",
        }
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "PG", "PYTEST_"))
        }
        environment = {**inherited, **compose["services"]["mlflow"]["environment"]}
        environment["PGPASSWORD"] = database.password
        command = server_command(compose, addresses)
        with _running(command, folder, environment, stop=signal.SIGTERM) as alive:
            address = f"http://{HOST}:{port}"
            alive.wait_until(lambda: _answers(f"{address}/health"))
            yield TeamServer(address, artifacts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _START_SECONDS
        while not ready():
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-5000:]
            assert time.monotonic() < until, self.log.read_text(errors="replace")[-5000:]
            time.sleep(0.1)


@contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], stop: signal.Signals
) -> Iterator[_Running]:
    """A process with a group of its own, of which nothing is left afterwards."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield _Running(process, log)
    finally:
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):  # as it should be: all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL shall run as, which refuses to run as root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def _run(command: Sequence[str], folder: Path) -> None:
    result = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def _made_database(port: int, password: str) -> bool:
    """Make the database; False as long as PostgreSQL does not answer."""
    import psycopg2

    try:
        connection = psycopg2.connect(
            host=HOST, port=port, user="mlflow", password=password, dbname="postgres"
        )
    except psycopg2.OperationalError:
        return False
    try:
        connection.autocommit = True  # a database is not made within a transaction
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE mlflow")
    finally:
        connection.close()
    return True


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False
