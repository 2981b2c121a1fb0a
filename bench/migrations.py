"""
1,000 small migrations through `apply --target-stage disabled`, against a short script and against dbmate.

The script runs each file and its ledger row in one transaction, with our durability (WAL, synchronous=FULL). dbmate by
default writes with a rollback journal, which is as durable and costs more syncs; on a database that is in WAL mode
already it keeps that, and the durability is the same as ours.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import BIN, Job, floor, in_turn, peak, runner, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from bench.pairs import Line

COUNT = 1_000
ROUNDS = 7


def measure(folder: Path) -> list[Line]:
    """Compare with the script, with dbmate as it comes, and with dbmate on a WAL database."""
    config = str(data.with_migrations(folder, COUNT))
    files = str(folder / "sql" / "sqlite")
    anew = partial(data.remove_database, folder)
    ours = runner(folder, "apply", config, "--target-stage", "disabled", prepare=anew)
    url = f"sqlite:{folder / data.DATABASE}"
    command = (str(BIN / "dbmate"), "--url", url, "-d", files, "--no-dump-schema", "up")
    script = floor(folder, "migrate", files, data.DATABASE, prepare=anew)
    dbmate = Job(command, folder, anew)
    on_wal = Job(command, folder, partial(_make_wal_database, folder))
    spent, by_script, by_dbmate, by_dbmate_on_wal = in_turn(ROUNDS, ours, script, dbmate, on_wal)
    return [
        seconds(f"migrations: {COUNT:,}, and a script of 30 lines", spent, by_script, 1.5),
        peak(f"migrations: {COUNT:,}, and the script, peak memory", spent, by_script),
        seconds(f"migrations: {COUNT:,}, and dbmate", spent, by_dbmate, 1.0),
        seconds(f"migrations: {COUNT:,}, and dbmate on a WAL database", spent, by_dbmate_on_wal),
    ]


def _make_wal_database(folder: Path) -> None:
    data.remove_database(folder)
    with closing(sqlite3.connect(folder / data.DATABASE)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
