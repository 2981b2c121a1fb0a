"""
A database of 1 GiB: snapshot and restore, against the engine's own copy and integrity check of the same file.

The snapshot is compared row by row and checked; the restore checks its digest, counts what would be lost, takes a
snapshot before, puts back what is different, compares every row and commits. One row in a hundred was changed, removed
or added meanwhile; the other case, a table that was dropped, is told and not judged. `BENCH_MIB` sets another size.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import PYTHON, RUNNER, Spent, environment, floor, in_turn, peak, runner, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from bench.pairs import Job, Line

MIB = int(os.environ.get("BENCH_MIB", "1024"))
ROW_BYTES = 700
"""What a row takes on average, its share of the indexes included."""
ROUNDS = 3
LIMIT = 2
MEMORY_LIMIT = 1.2
"""Ten times the size may not take more memory; a bit is noise."""

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO portfolio_rationales
    (cache_key, cache_type, rationale_type, data_json, data_hash, confidence, expires_at)
SELECT printf('bet:%d', i), 'bet', 'BET_SELECTION', json_object('stake', hex(randomblob(160))), hex(randomblob(16)),
    i % 100 / 100.0, datetime('now', printf('+%d seconds', i))
FROM n
"""
CHANGE = """
UPDATE portfolio_rationales SET confidence = 0.123 WHERE id % 200 = 0;
DELETE FROM portfolio_rationales WHERE id % 400 = 1;
INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)
SELECT 'new:' || id, 'bet', 'BET_SELECTION', data_json, data_hash FROM portfolio_rationales WHERE id % 400 = 2;
"""
DROP = "DROP TABLE portfolio_rationales;"


def measure(folder: Path) -> list[Line]:
    """Measure snapshot and restore in full size, the engine's own, and the same in a tenth of the size."""
    full, tenth = folder / "full", folder / "tenth"
    full_id, tenth_id = _made(full, MIB), _made(tenth, MIB // 10)
    own = floor(full, "copy", data.DATABASE, "copy.db")
    taken, copied, restored = in_turn(ROUNDS, _take(full, full_id), own, _restore(full, full_id, CHANGE))
    dropped, beside = in_turn(1, _restore(full, full_id, DROP), own)
    small, small_restored = in_turn(1, _take(tenth, tenth_id), _restore(tenth, tenth_id, CHANGE))
    what = f"snapshot: {MIB} MiB"
    return [
        seconds(f"{what}, taken and verified", taken, copied),
        seconds(f"{what}, restored and verified, 1 % changed", restored, copied),
        seconds(f"{what}, taken, verified and restored", list(map(_both, taken, restored)), copied, LIMIT),
        seconds(f"{what}, restored after the table was dropped", dropped, beside),
        replace(peak(f"{what}, memory, and in a tenth of it", taken[:1], small), limit=MEMORY_LIMIT),
        replace(peak(f"{what}, memory to restore, and in a tenth", restored[:1], small_restored), limit=MEMORY_LIMIT),
    ]


def _both(one: Spent, other: Spent) -> Spent:
    return Spent(one.seconds + other.seconds, max(one.peak_mib, other.peak_mib))


def _made(folder: Path, mib: int) -> str:
    """Make the bundled rollout's tables with so much in them, and take the snapshot that is restored later."""
    rollout = data.bundled(folder)
    with rollout.open("a", encoding="utf-8") as file:
        file.write("\nsnapshots: {keep: 1}\n")
    runner(folder, "apply", "--target-stage", "disabled").run()
    _write(folder, FILL.replace(":rows", str(mib * 1024 * 1024 // ROW_BYTES)))
    taken = (RUNNER, "snapshot", "--json")
    found = subprocess.run(taken, cwd=folder, env=environment(), check=True, capture_output=True).stdout
    snapshot_id: str = json.loads(found)["snapshot"]["id"]
    return snapshot_id


def _take(folder: Path, kept: str) -> Job:
    return runner(folder, "snapshot", prepare=partial(_clear, folder, kept))


def _restore(folder: Path, kept: str, change: str) -> Job:
    return runner(folder, "restore", kept, "--yes", prepare=partial(_change, folder, kept, change))


def _clear(folder: Path, kept: str) -> None:
    """Remove every snapshot but *kept*."""
    for path in (folder / f"{data.DATABASE}.runner" / "snapshots").glob("2*"):
        if not path.name.startswith(kept):
            path.unlink()


def _change(folder: Path, kept: str, change: str) -> None:
    _clear(folder, kept)
    _write(folder, change)


def _write(folder: Path, sql: str) -> None:
    """Run *sql* on the database, in a process of its own: what is measured inherits the memory of this one."""
    script = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript('PRAGMA synchronous=OFF;"
        " PRAGMA cache_size=-200000; BEGIN;' + sys.argv[2] + '; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')"
    )
    subprocess.run((PYTHON, "-c", script, folder / data.DATABASE, sql), check=True, stdout=subprocess.DEVNULL)
