"""
1,000 small migrations through `apply --target-stage disabled`, against a short script and against dbmate.

The script runs each file and its ledger row in one transaction, with our durability (WAL, synchronous=FULL). dbmate as
it comes writes with a rollback journal and FULL, which is as durable and takes more syncs. Its driver has WAL mode only
with synchronous=NORMAL unless it is told otherwise, so for the same durability both are asked for.
"""

from __future__ import annotations

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
    """Compare with the script, with dbmate as it comes, and with dbmate made as durable in the same way."""
    config = str(data.with_migrations(folder, COUNT))
    anew = partial(data.remove_database, folder)
    ours = runner(folder, "apply", config, "--target-stage", "disabled", prepare=anew)
    script = floor(folder, "migrate", "sql/sqlite", data.DATABASE, prepare=anew)
    dbmate, alike = (
        Job(_dbmate(folder, query), folder, anew) for query in ("", "?_journal_mode=WAL&_synchronous=FULL")
    )
    spent, by_script, by_dbmate, by_dbmate_alike = in_turn(ROUNDS, ours, script, dbmate, alike)
    return [
        seconds(f"migrations: {COUNT:,}, and a script of 30 lines", spent, by_script, 1.5),
        peak(f"migrations: {COUNT:,}, and the script, peak memory", spent, by_script),
        seconds(f"migrations: {COUNT:,}, and dbmate", spent, by_dbmate, 1.0),
        seconds(f"migrations: {COUNT:,}, and dbmate with our durability", spent, by_dbmate_alike),
    ]


def _dbmate(folder: Path, query: str) -> tuple[str, ...]:
    url = f"sqlite:{folder / data.DATABASE}{query}"
    return (str(BIN / "dbmate"), "--url", url, "-d", "sql/sqlite", "--no-dump-schema", "up")
