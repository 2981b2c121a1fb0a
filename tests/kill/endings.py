"""
What a command has left behind, in a form in which two runs of it can be compared; and what must hold at any moment.

Everything is compared but what the clock, the network or chance decide. Those values are replaced by whether there is
one, and hold the counts together by the rules below.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

TIMES = {
    *("created_at", "updated_at", "last_fetch_attempt", "last_successful_fetch", "expires_at", "started_at"),
    *("finished_at", "entered_at", "left_at", "undone_at", "judged_at", "applied_at", "done_at", "seeded_at"),
    *("at", "rehearsed_at"),
}
MEASURED = {"average_response_time_ms", "response_time_ms", "seconds", "locked_s", "size_bytes", "longest_lock"}
COUNTED = {"total_requests", "successful_requests", "total_props_fetched", "observations"}
"""Requests that were under way when a runner was killed are lost. What must hold of those that count: RULES."""
OF_TIMES = {"digest", "before", "after", "checksum", "detail"}
"""Digests of rows that hold times; `before` and `after` also stand for whole rows, which are compared by column."""
BY_CHANCE = {"database_id"}
OPEN = TIMES | MEASURED | COUNTED | OF_TIMES | BY_CHANCE

ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
VARIES = re.compile(r"\b[0-9.]+ (?=ms\b)|(?<=\()\d+(?= times\))")
"""What took how long; and how often a cause was met, of which only this process knows."""
SNAPSHOT = re.compile(rf"rollout\.db\.runner/snapshots/{ID.pattern}\.json")
BROUGHT = re.compile(r"(config|sql|stdout|stderr)\b")
"""What the harness itself has put there."""
NAMED = re.compile(r"\b(?:FROM|JOIN) (runner_[a-z]+|provider_states|portfolio_rationales)")
LEFT_BY_OTHERS = re.compile(r"tmp/(etilqs_[0-9a-f]+|[a-z0-9_]{8})|rollout\.db-journal")
"""What SQLite and Python's `tempfile` make and remove in the same breath; an empty journal goes with the next write."""
FILLED = {"provider_states", "portfolio_rationales"}
"""Tables that the rollout fills, beside the ledger's."""

RULES = {
    "the file is sound": "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    "every row refers to one that is there": "SELECT * FROM pragma_foreign_key_check",
    "one run at most is unfinished": (
        "SELECT count(*) FROM runner_runs WHERE state NOT IN ('completed', 'rolled_back', 'aborted')"
        " HAVING count(*) > 1"
    ),
    "a finished run says when and where it ended": (
        "SELECT id FROM runner_runs WHERE (state IN ('completed', 'rolled_back', 'aborted'))"
        " <> (finished_at IS NOT NULL AND final_stage IS NOT NULL)"
    ),
    "one stage at most is open": "SELECT count(*) FROM runner_stages WHERE state = 'entered' HAVING count(*) > 1",
    "what a tick found is stored with the tick": (
        "SELECT s.id, s.ticks FROM runner_stages s WHERE s.ticks <> (SELECT count(DISTINCT tick) FROM runner_samples"
        " WHERE stage_id = s.id) OR s.ticks <= (SELECT max(tick) FROM runner_samples WHERE stage_id = s.id)"
    ),
    "nothing was measured twice": (
        "SELECT stage_id, tick, metric, subject FROM runner_samples GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    ),
    "a stage was passed once on its way": (
        "SELECT run_id, stage FROM runner_stages WHERE state = 'passed' GROUP BY 2 HAVING count(*) > 1"
    ),
    "a step was taken once in its run": "SELECT run_id, step FROM runner_steps GROUP BY 1, 2 HAVING count(*) > 1",
    "a migration's tables stand if its row says so": (
        "SELECT m.version, o.value FROM runner_migrations m, json_each(m.objects_json) o WHERE (m.state = 'done')"
        " <> EXISTS (SELECT 1 FROM sqlite_master WHERE type || ' ' || name = o.value)"
    ),
    "a table stands only with the migration that made it": (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('provider_states', 'portfolio_rationales')"
        " AND 'table ' || name NOT IN (SELECT o.value FROM runner_migrations m, json_each(m.objects_json) o)"
    ),
    "a seeded row is known as one": (
        "SELECT provider_name, sport FROM provider_states WHERE json_array(provider_name, sport)"
        " NOT IN (SELECT row_key FROM runner_seeds WHERE table_name = 'provider_states')"
    ),
    "a cached row is known as seeded": (
        "SELECT cache_key FROM portfolio_rationales WHERE rationale_type LIKE 'CACHE%' AND json_array(cache_key)"
        " NOT IN (SELECT row_key FROM runner_seeds WHERE table_name = 'portfolio_rationales')"
    ),
    "a provider that a stage switched on is claimed by one that stands": (
        "SELECT provider_name, sport FROM provider_states WHERE status = 'ACTIVE' AND provider_name <> 'stub'"
        " AND json_array(provider_name, sport) NOT IN (SELECT row_key FROM runner_changes c JOIN runner_stages s"
        " ON s.id = c.stage_id WHERE s.state IN ('entered', 'passed') AND table_name = 'provider_states')"
    ),
    "a request is counted in the row and in the samples": (
        "SELECT provider_name, sum(total_requests) AS counted, (SELECT coalesce(sum(observations), 0)"
        " FROM runner_samples JOIN runner_stages s ON s.id = stage_id WHERE metric = 'errors'"
        " AND subject = provider_name AND s.state IN ('entered', 'passed') AND s.mode = 'active') AS sampled"
        " FROM provider_states GROUP BY 1 HAVING counted <> sampled"
    ),
    "every request succeeded or failed": (
        "SELECT provider_name, sport FROM provider_states WHERE total_requests <> successful_requests + failed_requests"
    ),
    "props are counted with the requests that brought them": (
        "SELECT provider_name, sport FROM provider_states"
        " WHERE total_props_fetched <> successful_requests * last_prop_count"
    ),
    "props that were seen are remembered": (
        "SELECT p.provider_name, p.sport FROM provider_states p WHERE unique_props_seen <> (SELECT count(*)"
        " FROM runner_props q WHERE q.provider_name = p.provider_name AND q.sport = p.sport)"
    ),
}
"""Each names what holds at every moment, and finds the rows of which it does not. Without its tables it holds."""

LATE = (
    "SELECT s.id FROM runner_stages s WHERE s.ticks * json_extract(s.summary_json, '$.targets') >"
    " (SELECT coalesce(sum(observations), 0) FROM runner_samples WHERE stage_id = s.id AND metric = 'errors')"
)
"""Stages in which answers were still under way after the last tick that was stored. A kill loses these."""

FACTS = {
    "run.started": "SELECT count(*) FROM runner_runs",
    "run.completed": "SELECT count(*) FROM runner_runs WHERE state = 'completed'",
    "run.rolled_back": "SELECT count(*) FROM runner_runs WHERE state = 'rolled_back'",
    "run.walked_back": "SELECT count(*) FROM runner_runs WHERE state = 'completed' AND back_to IS NOT NULL",
    "run.aborted": "SELECT count(*) FROM runner_runs WHERE state = 'aborted'",
    "migration.applied": "SELECT count(*) FROM runner_migrations WHERE state <> 'begun'",
    "migration.reverted": "SELECT count(*) FROM runner_migrations WHERE state = 'reverted'",
    "seed.applied": "SELECT count(*) FROM runner_steps WHERE step IN ('providers', 'caches')",
    "seed.removed": "SELECT 2 * count(*) FROM runner_steps WHERE step = 'rollback'",
    "stage.entered": "SELECT count(*) FROM runner_stages",
    "stage.passed": "SELECT count(*) FROM runner_stages WHERE left_at IS NOT NULL",
    "stage.breached": "SELECT count(*) FROM runner_stages WHERE breach IS NOT NULL",
    "stage.undone": "SELECT count(*) FROM runner_stages WHERE state = 'undone'",
    "tick.recorded": "SELECT sum(ticks) FROM runner_stages",
    "criteria.checked": "SELECT count(*) FROM runner_steps WHERE step = 'exit_criteria'",
    "snapshot.restored": "SELECT count(*) FROM runner_runs WHERE level = 'restore' AND state = 'completed'",
}
"""What an event says, and how often the ledger says the same: an event is told after the commit, and once."""


class Ending(NamedTuple):
    """What stands: every row of every table, and every file, in a form that two runs have in common."""

    tables: dict[str, list[str]]
    snapshots: int

    def digests(self) -> dict[str, str]:
        """Return the digest of each table."""
        return {name: hashlib.sha256("\n".join(rows).encode()).hexdigest() for name, rows in self.tables.items()}


class Difference(NamedTuple):
    """What a table has less and more than it should have."""

    table: str
    lost: list[str]
    more: list[str]

    def __str__(self) -> str:
        return f"{self.table}: {len(self.lost)} lost {self.lost[:3]}, {len(self.more)} too many {self.more[:3]}"


def differences(expected: Ending, found: Ending) -> list[Difference]:
    """Return in which tables *found* is not as *expected*."""
    ours, theirs = expected.digests(), found.digests()
    different = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    pairs = ((name, Counter(expected.tables.get(name)), Counter(found.tables.get(name))) for name in different)
    return [Difference(name, [*(old - new).elements()], [*(new - old).elements()]) for name, old, new in pairs]


def ending(folder: Path) -> Ending:
    """Read what stands in *folder*: its database, the runner's files beside it, and what is left in `tmp`."""
    tables = _tables(folder / "rollout.db") if (folder / "rollout.db").exists() else {}
    kept = sorted(folder.glob("rollout.db.runner/rehearsals/*.json"))
    tables["rehearsals"] = [json.dumps(_scrubbed(json.loads(path.read_text()), {})) for path in kept]
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    whole = {name.removesuffix(".json") for name in files if SNAPSHOT.fullmatch(name)}
    tables["files"] = sorted(
        ID.sub("ID", name)
        for name in files
        if not (BROUGHT.match(name) or LEFT_BY_OTHERS.fullmatch(name) or name.rpartition(".")[0] in whole)
    )
    return Ending(tables, len(whole))


def _tables(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as conn:
        conn.row_factory = sqlite3.Row
        found = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'runner_lock'")
        names = [name for (name,) in found]  # the lock of a process that is gone stays until somebody takes it
        runs = dict(conn.execute("SELECT id, 'run ' || number FROM runner_runs")) if "runner_runs" in names else {}
        found = {"schema": [json.dumps([*row]) for row in conn.execute("SELECT type, name, sql FROM sqlite_master")]}
        for name in names:
            found[name] = [_row(name, dict(row), runs) for row in conn.execute(f"SELECT * FROM {name}")]
    return {name: sorted(set(rows) if name == "runner_samples" else rows) for name, rows in found.items()}


def _row(table: str, row: dict[str, Any], runs: dict[str, str]) -> str:
    if table not in FILLED and not table.startswith("runner_"):
        return json.dumps(row)  # the application's own, to the last digit
    if row.get("rationale_type", "CACHE")[:5] != "CACHE":
        return json.dumps(row)
    if table == "runner_samples":
        row["number"] = None
        if row["subject"]:  # what answers late is counted at a later tick
            row |= {"tick": None, "values_json": "null"}
    if table == "runner_verdicts" and row["metric"] in MEASURED:
        row["value"] = row["value"] is not None
    if table == "runner_meta":
        row = {row["name"]: row["value"]}
    return json.dumps(_scrubbed(row, runs))


def _scrubbed(value: Any, runs: dict[str, str], name: str = "") -> Any:
    """Return *value* without what differs between two runs that did the same."""
    if name in MEASURED:
        return value is not None
    if isinstance(value, dict):
        return {key: _scrubbed(each, runs, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each, runs, name) for each in value]
    if name in OPEN:
        return value is not None
    if name.endswith("_json") and value is not None:
        return _scrubbed(json.loads(value), runs)
    return VARIES.sub("N", ID.sub("ID", runs.get(value, value))) if isinstance(value, str) else value


def broken(path: Path) -> list[str]:
    """Return the rules that do not hold in the database at *path*, with up to three rows of which they do not."""
    with closing(sqlite3.connect(path)) as conn:
        there = {name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        checked = {rule: sql for rule, sql in RULES.items() if there.issuperset(NAMED.findall(sql))}
        found = {rule: conn.execute(sql).fetchmany(3) for rule, sql in checked.items()}
    return [f"{rule}: not so of {rows}" for rule, rows in found.items() if rows]


def is_late(path: Path) -> bool:
    """Say whether answers were under way when what stands in the database at *path* was stored."""
    with closing(sqlite3.connect(path)) as conn:
        if conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'runner_samples'").fetchone() is None:
            return False
        return conn.execute(LATE).fetchone() is not None


def damaged(folder: Path) -> list[str]:
    """Return the snapshots that count, for they have a manifest, and are not what it says."""
    found = []
    for manifest in folder.glob("rollout.db.runner/snapshots/*.json"):
        copy = manifest.with_suffix(".db")
        digest = hashlib.sha256(copy.read_bytes()).hexdigest() if copy.exists() else "missing"
        if json.loads(manifest.read_text())["sha256"] != f"sha256:{digest}":
            found.append(f"snapshot {manifest.stem} is damaged")
    return found


def facts(path: Path) -> dict[str, int]:
    """Return how often the database at *path* says what each event says."""
    if not path.exists():
        return dict.fromkeys(FACTS, 0)
    with closing(sqlite3.connect(path)) as conn:
        if conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'runner_runs'").fetchone() is None:
            return dict.fromkeys(FACTS, 0)
        return {event: conn.execute(sql).fetchone()[0] or 0 for event, sql in FACTS.items()}
