"""Real SQLite files and a clock that is moved by hand."""

from contextlib import closing

import pytest
from ground import FakeClock, bundled_migrations

from runner.store.ledger import Ledger
from runner.store.lock import Lock
from runner.store.sqlite import SqliteBackend


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def backend(tmp_path):
    """An empty database."""
    with closing(SqliteBackend(tmp_path / "rollout.db", create=True)) as opened:
        yield opened


@pytest.fixture
def ledger(backend):
    """The runner's tables, made in `backend`."""
    made = Ledger(backend)
    with backend.transaction():
        made.create()
    return made


@pytest.fixture
def lock(backend, clock):
    """The lease on `backend`, taken."""
    taken = Lock(backend, clock)
    taken.take()
    return taken


@pytest.fixture
def database(backend, ledger):
    """The same database with the tables of the bundled rollout, empty, beside the runner's."""
    with backend.transaction():
        for migration in bundled_migrations():
            backend.run(migration, migration.up)
    return backend


def pytest_terminal_summary(terminalreporter):
    """Say what came of the kill matrix, wherever its tests ran."""
    reports = (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed"))
    lines = [text for report in reports for name, text in report.user_properties if name == "kill matrix"]
    if lines:
        terminalreporter.section("kill matrix")
        for line in lines:
            terminalreporter.line(line)
