"""
The runner's own tables: what was done, by which run, and what was measured.

Every write here commits together with what it speaks of. Kept for ever, but for details that are over and old, and
the source of status, history and reports.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.clock import timestamp
from runner.errors import Mismatch, Problem
from runner.samples import Sample
from runner.store.digest import canonical, read_back
from runner.store.ids import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from runner.store.backend import Backend, Row

VERSION = "2"

DDL = """
CREATE TABLE runner_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runner_migrations (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'done', 'reverted')),
    objects_json TEXT NOT NULL,
    run_id TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    reverted_by TEXT
);
CREATE TABLE runner_made_rows (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (table_name, row_key)
);
CREATE TABLE runner_steps (
    number {identity},
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    summary_json TEXT NOT NULL,
    done_at TEXT NOT NULL
);
CREATE TABLE runner_configs (digest TEXT PRIMARY KEY, config_json TEXT NOT NULL);
CREATE TABLE runner_runs (
    number {identity},
    id TEXT NOT NULL UNIQUE,
    rollout TEXT NOT NULL,
    environment TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    target_stage TEXT NOT NULL,
    back_to TEXT,
    state TEXT NOT NULL,
    message TEXT,
    stopped TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    final_stage TEXT,
    level TEXT
);
CREATE TABLE runner_stages (
    id {identity},
    run_id TEXT NOT NULL REFERENCES runner_runs (id),
    rollout TEXT NOT NULL,
    stage TEXT NOT NULL,
    mode TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('entered', 'passed', 'undone', 'abandoned')),
    ticks INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL,
    summary_json TEXT NOT NULL,
    breach TEXT,
    entered_at TEXT NOT NULL,
    left_at TEXT,
    undone_at TEXT,
    undone_by TEXT
);
CREATE INDEX runner_stages_run ON runner_stages (run_id);
CREATE TABLE runner_samples (
    number {identity},
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    tick INTEGER NOT NULL,
    metric TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    values_json TEXT NOT NULL,
    observations INTEGER NOT NULL,
    error TEXT
);
CREATE INDEX runner_samples_stage ON runner_samples (stage_id, tick);
CREATE TABLE runner_verdicts (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    metric TEXT NOT NULL,
    subject TEXT NOT NULL,
    verdict TEXT NOT NULL,
    value DOUBLE PRECISION,
    observations INTEGER NOT NULL,
    fails INTEGER NOT NULL,
    consecutive_fails INTEGER NOT NULL,
    judged_at TEXT NOT NULL,
    PRIMARY KEY (stage_id, metric, subject)
);
CREATE TABLE runner_changes (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    claimed_json TEXT NOT NULL,
    before_json TEXT NOT NULL,
    after_json TEXT NOT NULL,
    PRIMARY KEY (stage_id, table_name, row_key)
);
CREATE TABLE runner_seeds (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    before_json TEXT,
    first_json TEXT,
    run_id TEXT NOT NULL,
    seeded_at TEXT NOT NULL,
    after_json TEXT,
    PRIMARY KEY (table_name, row_key)
);
CREATE TABLE runner_props (
    stage_id INTEGER NOT NULL REFERENCES runner_stages (id),
    provider_name TEXT NOT NULL,
    sport TEXT NOT NULL,
    prop_id TEXT NOT NULL,
    PRIMARY KEY (provider_name, sport, prop_id)
)
"""

UPGRADES = {
    "1": """
ALTER TABLE runner_runs ADD COLUMN level TEXT;
ALTER TABLE runner_seeds ADD COLUMN after_json TEXT;
ALTER TABLE runner_migrations RENAME TO runner_migrations_1;
CREATE TABLE runner_migrations (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'done', 'reverted')),
    objects_json TEXT NOT NULL,
    run_id TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    reverted_by TEXT
);
INSERT INTO runner_migrations SELECT *, NULL FROM runner_migrations_1;
DROP TABLE runner_migrations_1;
CREATE TABLE runner_made_rows (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (table_name, row_key)
)
""",
}
"""What brings tables of an older form to the next one. Done by the first command that writes."""


EXIT_CRITERIA = "exit_criteria"
"""The step of a run under which stands what came of the exit criteria."""


class Run(NamedTuple):
    """
    One execution of a rollout, as stored.

    `back_to` is set while it walks back; `message` is why; `stopped` says what ended the last attempt, where the run is
    not finished. `level` is that of a rollback, `restore` where a snapshot was brought back, None for an apply.
    """

    number: int
    id: str
    rollout: str
    environment: str
    config_digest: str
    target_stage: str
    back_to: str | None
    state: str
    message: str | None
    stopped: str | None
    started_at: str
    finished_at: str | None
    final_stage: str | None
    level: str | None = None


class StageEntry(NamedTuple):
    """
    One passage of a run through a stage, as stored.

    `ticks` are the measurements made so far; `digest` is that of the rows it claimed, before its first write; `breach`
    says why it was given up.
    """

    id: int
    run_id: str
    rollout: str
    stage: str
    mode: str
    position: int
    state: str
    ticks: int
    digest: str
    summary_json: str
    breach: str | None
    entered_at: str
    left_at: str | None
    undone_at: str | None
    undone_by: str | None

    @property
    def summary(self) -> dict[str, Any]:
        """What the stage did, as figures by name."""
        found: dict[str, Any] = json.loads(self.summary_json)
        return found


class Ledger:
    """Reads and writes the runner's tables in one database. Where there are none yet, reading finds nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.look_again()

    def look_again(self) -> None:
        """Learn whether the tables are there: another runner may have made them, in a newer form even."""
        self.exists = "runner_meta" in self._backend.tables()
        if self.exists:
            self._check_version()

    def create(self) -> None:
        """Make the tables where they are not, or bring them to this form, inside the open transaction."""
        if "runner_meta" in self._backend.tables():
            self.exists = True
            self._check_version()
            self._upgrade()
            return
        self._run(DDL.format(identity=self._backend.identity))
        self._set_meta("ledger_version", VERSION)
        self._set_meta("database_id", secrets.token_hex(16))
        self.exists = True

    def _upgrade(self) -> None:
        while (version := self._version()) in UPGRADES:
            self._run(UPGRADES[version])
            self._set_meta("ledger_version", str(int(version) + 1))
        if self.database_id is None:
            self._set_meta("database_id", secrets.token_hex(16))

    def _run(self, statements: str) -> None:
        for statement in statements.split(";"):
            self._backend.execute(statement)

    def _version(self) -> str:
        version: str = self._backend.scalar("SELECT value FROM runner_meta WHERE name = 'ledger_version'")
        return version

    def _check_version(self) -> None:
        version = self._version()
        if version != VERSION and version not in UPGRADES:
            raise Mismatch(
                Problem(
                    f"the runner's tables in this database have form {version}, this runner knows form {VERSION}",
                    fix="use the version of runner that made them, or a newer one",
                )
            )

    def _set_meta(self, name: str, value: str) -> None:
        self._backend.execute(
            "INSERT INTO runner_meta VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            {"name": name, "value": value},
        )

    @property
    def database_id(self) -> str | None:
        """What tells this database from every other; None where the runner has not written to it yet."""
        if not self.exists:
            return None
        found: str | None = self._backend.scalar("SELECT value FROM runner_meta WHERE name = 'database_id'")
        return found

    # migrations

    def migrations(self) -> list[Row]:
        """Return every migration that was ever applied, oldest first; `state` is begun, done or reverted."""
        if not self.exists:
            return []
        return self._backend.rows(
            "SELECT version, name, checksum, state, objects_json, run_id, applied_at FROM runner_migrations"
            " ORDER BY length(version), version"
        )

    def made_objects(self) -> frozenset[str]:
        """Return every schema object that a migration ever made, each as `kind name`."""
        return frozenset(name for row in self.migrations() for name in json.loads(row["objects_json"]))

    def record_migration(
        self, version: str, name: str, checksum: str, objects: Iterable[str], run_id: str, at: datetime, *, done: bool
    ) -> None:
        """Write that a migration was applied (*done*), or begun outside of any transaction."""
        self._backend.execute(
            "INSERT INTO runner_migrations (version, name, checksum, state, objects_json, run_id, applied_at)"
            " VALUES (:version, :name, :checksum, :state, :objects, :run_id, :at)"
            " ON CONFLICT (version) DO UPDATE SET name = excluded.name, checksum = excluded.checksum,"
            " state = excluded.state, objects_json = excluded.objects_json, run_id = excluded.run_id,"
            " applied_at = excluded.applied_at, reverted_by = NULL",
            {
                "version": version,
                "name": name,
                "checksum": checksum,
                "state": "done" if done else "begun",
                "objects": canonical(sorted(objects)),
                "run_id": run_id,
                "at": timestamp(at),
            },
        )

    def keep_objects_before(self, version: str, objects: Iterable[str]) -> None:
        """Remember which objects stood before a migration outside of any transaction; a kill must not blur that."""
        self._set_meta(f"objects_before_{version}", canonical(sorted(objects)))

    def objects_before(self, version: str) -> frozenset[str]:
        """Return the objects that stood before the migration that was begun under *version*."""
        sql = "SELECT value FROM runner_meta WHERE name = :name"
        return frozenset(json.loads(self._backend.scalar(sql, {"name": f"objects_before_{version}"})))

    def revert_migration(self, version: str, run_id: str) -> None:
        """Write that *run_id* took a migration back; what it had made is forgotten, that it was applied is not."""
        self._backend.execute(
            "UPDATE runner_migrations SET state = 'reverted', reverted_by = :run_id WHERE version = :version",
            {"version": version, "run_id": run_id},
        )
        self._backend.execute("DELETE FROM runner_made_rows WHERE version = :version", {"version": version})

    def record_made_rows(self, version: str, table: str, keys: Iterable[str]) -> None:
        """Write which rows a migration put into a table that it made; each of *keys* is canonical JSON."""
        self._backend.execute_many(
            "INSERT INTO runner_made_rows (table_name, row_key, version) VALUES (:table, :key, :version)"
            " ON CONFLICT (table_name, row_key) DO UPDATE SET version = excluded.version",
            ({"table": table, "key": key, "version": version} for key in keys),
        )

    def made_rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return the keys of the rows that migrations put into *table* when they made it; form 1 did not keep them."""
        if "runner_made_rows" not in self._backend.tables():
            return []
        found = self._backend.stream(
            "SELECT row_key FROM runner_made_rows WHERE table_name = :table ORDER BY row_key", {"table": table}
        )
        return [tuple(read_back(key)) for (key,) in found]

    def migrations_of(self, rollout: str) -> list[Row]:
        """Return the migrations that *rollout* has applied, or begun, and not taken back, oldest first."""
        runs = {run.id for run in self.runs(rollout)}
        return [row for row in self.migrations() if row["run_id"] in runs and row["state"] != "reverted"]

    def forget_seeds(self, rollout: str) -> None:
        """Forget what seeds of *rollout* wrote: it was taken back."""
        self._backend.execute(
            "DELETE FROM runner_seeds WHERE run_id IN (SELECT id FROM runner_runs WHERE rollout = :rollout)",
            {"rollout": rollout},
        )

    # runs

    def runs(self, rollout: str | None = None) -> list[Run]:
        """Return every run, newest first; of one rollout or of all."""
        if not self.exists:
            return []
        where = "WHERE rollout = :rollout" if rollout else ""
        found = self._backend.rows(
            f"SELECT * FROM runner_runs {where} ORDER BY number DESC", {"rollout": rollout} if rollout else {}
        )
        return [Run(**row) for row in found]

    def latest_run(self, rollout: str) -> Run | None:
        """Return the newest run of *rollout*."""
        if not self.exists:
            return None
        found = self._backend.rows(
            "SELECT * FROM runner_runs WHERE rollout = :rollout ORDER BY number DESC LIMIT 1", {"rollout": rollout}
        )
        return Run(**found[0]) if found else None

    def begin_run(
        self,
        rollout: str,
        environment: str,
        digest: str,
        declared: Any,
        target: str,
        state: str,
        at: datetime,
        level: str | None = None,
    ) -> Run:
        """Write a new run and the config it goes by; *level* where it is a rollback or a restore."""
        self.keep_config(digest, declared)
        known = {run.id for run in self.runs()}
        self._backend.execute(
            "INSERT INTO runner_runs (id, rollout, environment, config_digest, target_stage, state, started_at, level)"
            " VALUES (:id, :rollout, :environment, :digest, :target, :state, :at, :level)",
            {
                "id": next(run_id for run_id in ids(at) if run_id not in known),
                "rollout": rollout,
                "environment": environment,
                "digest": digest,
                "target": target,
                "state": state,
                "at": timestamp(at),
                "level": level,
            },
        )
        run = self.latest_run(rollout)
        assert run is not None  # noqa: S101  it was just written
        return run

    def keep_config(self, digest: str, declared: Any) -> None:
        """Store a config under its digest, once."""
        self._backend.execute(
            "INSERT INTO runner_configs (digest, config_json) VALUES (:digest, :config)"
            " ON CONFLICT (digest) DO NOTHING",
            {"digest": digest, "config": canonical(declared)},
        )

    def config(self, digest: str) -> Any:
        """Return the config with that digest as plain data; None where it is not known."""
        if not self.exists:
            return None
        sql = "SELECT config_json FROM runner_configs WHERE digest = :digest"
        found = self._backend.scalar(sql, {"digest": digest})
        return json.loads(found) if found else None

    def update_run(self, run_id: str, **values: Any) -> None:
        """Set columns of a run; the names are this module's own."""
        self._update("runner_runs", run_id, values)

    def record_step(self, run_id: str, step: str, summary: Any, at: datetime) -> None:
        """Write that a step other than a migration or stage was done."""
        self._backend.execute(
            "INSERT INTO runner_steps (run_id, step, summary_json, done_at) VALUES (:run_id, :step, :summary, :at)",
            {"run_id": run_id, "step": step, "summary": canonical(summary), "at": timestamp(at)},
        )

    def steps(self, run_id: str) -> list[tuple[str, Any]]:
        """Return the steps that a run did, oldest first, each with its figures."""
        if not self.exists:
            return []
        rows = self._backend.stream(
            "SELECT step, summary_json FROM runner_steps WHERE run_id = :run_id ORDER BY number", {"run_id": run_id}
        )
        return [(step, json.loads(summary)) for step, summary in rows]

    def exit_criteria(self, run_id: str) -> Any:
        """Return what came of the exit criteria at the end of a run; None where it did not come to them."""
        return dict(self.steps(run_id)).get(EXIT_CRITERIA)

    # stages

    def stages(self, *, run_id: str | None = None, rollout: str | None = None) -> list[StageEntry]:
        """Return stage entries, oldest first: of a run, of a rollout, or all."""
        if not self.exists:
            return []
        return [
            StageEntry(**row)
            for row in self._backend.rows(
                "SELECT * FROM runner_stages WHERE (:run_id IS NULL OR run_id = :run_id)"
                " AND (:rollout IS NULL OR rollout = :rollout) ORDER BY id",
                {"run_id": run_id, "rollout": rollout},
            )
        ]

    def standing(self, rollout: str) -> list[StageEntry]:
        """Return the entries of *rollout* that stand, oldest first; the last passed one is where the rollout stands."""
        if not self.exists:
            return []
        found = self._backend.rows(
            "SELECT * FROM runner_stages WHERE rollout = :rollout AND state IN ('entered', 'passed') ORDER BY id",
            {"rollout": rollout},
        )
        return [StageEntry(**row) for row in found]

    def enter_stage(
        self, run: Run, stage: str, mode: str, position: int, digest: str, summary: Any, at: datetime
    ) -> StageEntry:
        """Write that *run* is in *stage*."""
        self._backend.execute(
            "INSERT INTO runner_stages"
            " (run_id, rollout, stage, mode, position, state, digest, summary_json, entered_at)"
            " VALUES (:run_id, :rollout, :stage, :mode, :position, 'entered', :digest, :summary, :at)",
            {
                "run_id": run.id,
                "rollout": run.rollout,
                "stage": stage,
                "mode": mode,
                "position": position,
                "digest": digest,
                "summary": canonical(summary),
                "at": timestamp(at),
            },
        )
        return self.stages(run_id=run.id)[-1]

    def update_stage(self, stage_id: int, **values: Any) -> None:
        """Set columns of a stage entry; the names are this module's own."""
        self._update("runner_stages", stage_id, values)

    def _update(self, table: str, identity: Any, values: dict[str, Any]) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        self._backend.execute(f"UPDATE {table} SET {assignments} WHERE id = :_id", {**values, "_id": identity})

    # measurements

    def record_samples(self, stage_id: int, tick: int, samples: Iterable[Sample], at: datetime) -> None:
        """Store what one tick found."""
        self._backend.execute_many(
            "INSERT INTO runner_samples (stage_id, tick, metric, subject, at, values_json, observations, error)"
            " VALUES (:stage_id, :tick, :metric, :subject, :at, :values, :observations, :error)",
            (
                {
                    "stage_id": stage_id,
                    "tick": tick,
                    "metric": sample.metric,
                    "subject": sample.subject,
                    "at": timestamp(at),
                    "values": json.dumps(sample.values),
                    "observations": sample.observations,
                    "error": sample.error,
                }
                for sample in samples
            ),
        )

    def samples(self, stage_id: int) -> Iterator[tuple[int, Sample]]:
        """Yield what a stage measured so far as (tick, sample), in the order in which it was stored."""
        if not self.exists:
            return
        for tick, metric, subject, values, count, error in self._backend.stream(
            "SELECT tick, metric, subject, values_json, observations, error FROM runner_samples"
            " WHERE stage_id = :stage_id ORDER BY tick, number",
            {"stage_id": stage_id},
        ):
            yield tick, Sample(metric, tuple(json.loads(values)), count, subject, error)

    def old_samples(self, rollout: str, before: str, most: int) -> list[int]:
        """
        Return the numbers of samples of *rollout* that were taken before that time, *most* of them at the most.

        Only those of finished runs count, and of stages that no other run can go on with.
        """
        found = self._backend.stream(
            "SELECT s.number FROM runner_stages e JOIN runner_runs r ON r.id = e.run_id"
            " JOIN runner_samples s ON s.stage_id = e.id WHERE e.rollout = :rollout AND e.entered_at < :before"
            " AND e.state <> 'entered' AND r.finished_at IS NOT NULL AND s.at < :before LIMIT :most",
            {"rollout": rollout, "before": before, "most": most},
        )
        return [number for (number,) in found]

    def remove_samples(self, numbers: Iterable[int]) -> int:
        """Remove samples; return how many there were."""
        rows = ({"number": number} for number in numbers)
        return self._backend.execute_many("DELETE FROM runner_samples WHERE number = :number", rows)

    def old_images(self, rollout: str, before: str) -> list[int]:
        """Return the stages of *rollout* that were taken back before that time, and still have images of their rows."""
        found = self._backend.stream(
            "SELECT e.id FROM runner_stages e JOIN runner_runs r ON r.id = e.run_id"
            " WHERE e.rollout = :rollout AND e.state = 'undone' AND e.undone_at < :before AND r.finished_at IS NOT NULL"
            " AND EXISTS (SELECT 1 FROM runner_changes c WHERE c.stage_id = e.id)",
            {"rollout": rollout, "before": before},
        )
        return [stage_id for (stage_id,) in found]

    def remove_images(self, stage_id: int) -> int:
        """Forget how the rows of a stage were, and what it wrote; return of how many rows."""
        return self._backend.execute("DELETE FROM runner_changes WHERE stage_id = :id", {"id": stage_id})

    def record_verdicts(self, stage_id: int, verdicts: Iterable[Row], at: datetime) -> None:
        """Store how every threshold of a stage stands; each of *verdicts* has the columns of runner_verdicts."""
        self._backend.execute_many(
            "INSERT INTO runner_verdicts (stage_id, metric, subject, verdict, value, observations, fails,"
            " consecutive_fails, judged_at) VALUES (:stage_id, :metric, :subject, :verdict, :value, :observations,"
            " :fails, :consecutive_fails, :at) ON CONFLICT (stage_id, metric, subject) DO UPDATE SET"
            " verdict = excluded.verdict, value = excluded.value, observations = excluded.observations,"
            " fails = excluded.fails, consecutive_fails = excluded.consecutive_fails, judged_at = excluded.judged_at",
            ({**verdict, "stage_id": stage_id, "at": timestamp(at)} for verdict in verdicts),
        )

    def figures(self, stage_id: int) -> dict[str, Any]:
        """Return the number behind every verdict of a stage, by `metric` or `metric.subject`."""
        return {
            f"{row['metric']}.{row['subject']}" if row["subject"] else row["metric"]: row["value"]
            for row in self.verdicts(stage_id)
        }

    def verdicts(self, stage_id: int) -> list[Row]:
        """Return how every threshold of a stage stands."""
        if not self.exists:
            return []
        return self._backend.rows(
            "SELECT metric, subject, verdict, value, observations, fails, consecutive_fails FROM runner_verdicts"
            " WHERE stage_id = :stage_id ORDER BY metric, subject",
            {"stage_id": stage_id},
        )
