"""
The whole rollout on a copy, and then the drills: every way back is taken once, and compared with what was before.

It is the same engine, the same levels and the same restore; only the database, the speed and who answers are others.
"""

from __future__ import annotations

import functools
from contextlib import closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.act import unseed
from runner.clock import timestamp
from runner.config.model import DISABLED, Level, OnBreach
from runner.decide.drill import injection
from runner.engine import criteria
from runner.engine.keeping import Keeper
from runner.engine.levels import Levels
from runner.engine.loop import Engine
from runner.engine.passage import NONE, stop_if_asked
from runner.engine.site import open_site
from runner.errors import ExitCode, Interrupted, RunnerError
from runner.events import Teller
from runner.store import rehearsed
from runner.store.backend import Row
from runner.store.changes import Key, read
from runner.store.connect import open_backend
from runner.store.digest import of_rows
from runner.store.names import quoted
from runner.store.scratch import scratch
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from runner.clock import Clock
    from runner.config.model import Migration, Rollout, Stage
    from runner.engine.passage import Injections
    from runner.engine.site import Outcome
    from runner.errors import Problem
    from runner.measure.probe import Prober
    from runner.store.backend import Backend

AIM_S = 5.0
"""The stages of a rehearsal take about so long in all, with as many measurements as the real ones."""

Digests = dict[str, str]
Rows = tuple[list[Key], dict[Key, Row]]
Ours = dict[str, Rows]
EMPTY = of_rows(())


class Proof(NamedTuple):
    """
    One thing that was tried: whether it went as it must, and what came of it.

    `locked_s` is how long the longest transaction of it held the database.
    """

    kind: str
    name: str
    proved: bool
    seconds: float
    locked_s: float
    detail: str


class Unproved(Exception):
    """Something did not go as it must, and what."""


def on_copy(rollout: Rollout, url: str, *, live_probes: bool) -> Rollout:
    """Return *rollout* as it is rehearsed in the database at *url*: fast, and answered by the stand-in."""
    steps_s = sum(stage.duration_s for stage in rollout.stages)
    back_s = rollout.rollback.observe_s * (len(rollout.stages) - 1)
    environment = rollout.environment
    speed = max(environment.speed, (steps_s + back_s) / AIM_S)
    providers = rollout.providers
    criteria = rollout.criteria
    if not live_probes:
        providers = tuple(provider._replace(endpoint=None, headers=()) for provider in providers)
        criteria = tuple(criterion._replace(url=None) for criterion in criteria)
    return rollout._replace(
        environment=environment._replace(database=url, speed=speed, stand_in=True, must_rehearse=False),
        providers=providers,
        criteria=criteria,
        faults=(),
        snapshots=rollout.snapshots._replace(folder=None, before_run=False),
    )


def no_way_back(migrations: Collection[Migration]) -> list[str]:
    """Return the migrations from which only a snapshot leads back."""
    return [
        f"{migration.version}_{migration.name}"
        for migration in migrations
        if not migration.down or migration.destructive
    ]


def rehearse(
    rollout: Rollout,
    original: Backend | None,
    clock: Clock,
    tell: Teller,
    make_prober: Callable[[Rollout, Clock], Prober],
    *,
    live_probes: bool,
) -> dict[str, Any]:
    """
    Rehearse *rollout* on a copy of *original*, which is only read; keep what came of it, and return it as plain data.

    None is a database that is not there yet. The copy is gone afterwards.
    """
    with scratch() as folder:
        begun = clock.monotonic()
        url = f"sqlite:///{folder}/copy.db"
        if original:
            original.copy_to(url)
        copy = on_copy(rollout, url, live_probes=live_probes)
        place = copy.environment
        with closing(open_backend(place.database, place.engine, create=True)) as backend:
            size_bytes = (folder / "copy.db").stat().st_size if original else 0
            copied = {"size_bytes": size_bytes, "seconds": clock.monotonic() - begun}
            rehearsal = Rehearsal(copy, backend, clock, tell, lambda: make_prober(copy, clock))
            rehearsal.run()
    report = _report(rollout, rehearsal, copied, timestamp(clock.now()))
    rehearsed.keep(rollout, report)
    return report


def _report(rollout: Rollout, rehearsal: Rehearsal, copied: dict[str, Any], at: str) -> dict[str, Any]:
    tried = [proof._asdict() for proof in rehearsal.proofs]

    def proved(kind: str) -> int:
        return sum(proof.kind == kind and proof.proved for proof in rehearsal.proofs)

    return {
        "rollout": rollout.name,
        "environment": rollout.environment.name,
        "rehearsed_at": at,
        "passed": rehearsal.passed,
        "copied": copied,
        "proofs": tried,
        "drills": proved("drill"),
        "levels": proved("rollback"),
        "restores": proved("restore"),
        "longest_lock": max(tried, key=itemgetter("locked_s"), default=None),
        "no_way_back": no_way_back(rollout.migrations),
        "seconds": copied["seconds"] + sum(proof.seconds for proof in rehearsal.proofs),
    }


class Rehearsal:
    """Rehearses *rollout*, which has to be `on_copy`, in the copy behind *backend*."""

    def __init__(
        self,
        rollout: Rollout,
        backend: Backend,
        clock: Clock,
        tell: Teller,
        make_prober: Callable[[], Prober],
    ) -> None:
        self._rollout = rollout
        self._backend = backend
        self._clock = clock
        self._tell = tell.bind(rollout=rollout.name)
        self._quietly = Teller(clock.now)
        self._make_prober = make_prober
        self._keeper = Keeper(rollout, backend, clock, self._quietly)
        self.proofs: list[Proof] = []

    @property
    def passed(self) -> bool:
        """Whether all that has to be proved was tried, and went as it must."""
        levels = sum(proof.kind == "rollback" for proof in self.proofs)
        return levels == len(Level) and all(proof.proved for proof in self.proofs)

    def run(self) -> None:
        """Try everything, as far as it goes; `proofs` has what came of it."""
        before = self._state()
        untouched = not open_site(self._rollout, self._backend, self._clock).ledger.runs(self._rollout.name)
        if not self._prove("rollout", "migrations and seeds", self._begin):
            return
        seeded, ours = self._state(), self._ours()
        others = self._others(ours)  # of the safe start: a stage may switch rows that stood there before the seeds
        for stage in self._rollout.stages:
            if not self._drill(stage, seeded):
                return
        if self._rollout.criteria:
            self._prove("exit criteria", "at the last stage", self._criteria)
        full = self._state()
        taken: list[str] = []
        if not self._prove("snapshot", "of all that the rollout touches", lambda: self._take(taken)):
            return
        after: dict[Level, Callable[[], str]] = {
            Level.GRADUAL: lambda: self._same(seeded),
            Level.STANDARD: lambda: self._nothing_of(ours),
            Level.EMERGENCY: lambda: self._same(before) if untouched else self._nothing_of(ours),
        }
        for level in reversed(Level):
            self._level(level, ours, others, after[level])
            if not self._prove("restore", f"after {level}", lambda: self._restore(taken[0], full)):
                return

    def _prove(self, kind: str, name: str, act: Callable[[], str]) -> bool:
        """Do *act*, which returns what it showed; note how it went, and say whether as it must."""
        stop_if_asked(self._clock)
        self._backend.longest_transaction_s = 0.0
        begun = self._clock.monotonic()
        try:
            proved, detail = True, act()
        except Interrupted:
            raise
        except RunnerError as failure:
            proved, detail = False, "; ".join(map(_said, failure.problems))
        except Unproved as found:
            proved, detail = False, str(found)
        proof = Proof(kind, name, proved, self._clock.monotonic() - begun, self._backend.longest_transaction_s, detail)
        self.proofs.append(proof)
        self._tell("proof.passed" if proved else "proof.failed", **proof._asdict())
        return proved

    def _engine(self, injections: Injections = NONE) -> Engine:
        return Engine(self._rollout, self._backend, self._clock, self._quietly, self._make_prober, injections)

    def _begin(self) -> str:
        """Come to the safe start, whatever the copy stood at, with every migration and seed in place."""
        self._engine().abort()
        self._engine().apply(DISABLED)  # a way back applies no migration and writes no seed
        outcome = self._engine().apply(DISABLED)
        _expect(outcome, ExitCode.DONE, DISABLED)
        return (
            f"{len(self._rollout.migrations)} migrations, {len(self._rollout.targets)} provider rows,"
            f" {len(self._rollout.caches)} cache entries; at {outcome.stage}"
        )

    def _drill(self, stage: Stage, seeded: Digests) -> bool:
        """Breach *stage* and compare; then pass it, and say whether that went well."""
        previous = self._rollout.rollback.on_breach is OnBreach.PREVIOUS
        expected = self._state() if previous else seeded
        ordered = injection(stage)

        def breach() -> str:
            outcome = self._engine({stage.name: ordered}).apply(stage.name)
            _expect(outcome, ExitCode.ROLLED_BACK)
            return f"{ordered}: rolled back to {outcome.stage}, {self._same(expected)}"

        def go_on() -> str:
            outcome = self._engine().apply(stage.name)
            _expect(outcome, ExitCode.DONE, stage.name)
            ledger = open_site(self._rollout, self._backend, self._clock).ledger
            return f"passed at tick {ledger.standing(self._rollout.name)[-1].ticks}"

        self._prove("drill", stage.name, breach)
        return self._prove("stage", stage.name, go_on)

    def _take(self, taken: list[str]) -> str:
        snapshot = self._keeper.take("rehearsal", is_automatic=False)
        if snapshot is None:
            raise Unproved("there was nothing to take")
        taken.append(snapshot.id)
        return f"{len(snapshot.tables)} tables, {snapshot.rows} rows, {snapshot.size_bytes / 1e6:.1f} MB"

    def _criteria(self) -> str:
        place = self._rollout.environment
        connect = functools.partial(open_backend, place.database, place.engine, read_only=True)
        checked = criteria.check(self._rollout, connect, self._clock)
        found = checked.summary
        if checked.exit_code() is not ExitCode.DONE:
            missed = [each["name"] for each in checked.plain()["criteria"] if each["outcome"] in {"fail", "error"}]
            raise Unproved(f"{found.passed} of {found.total} pass; not: {', '.join(missed)}")
        return f"{found.passed} of {found.total} pass"

    def _level(self, level: Level, ours: Ours, others: Digests, after: Callable[[], str]) -> None:
        def roll_back() -> str:
            make_prober = self._make_prober
            levels = Levels(self._rollout, self._backend, self._clock, self._quietly, make_prober, lambda _: None)
            _expect(levels.roll_back(level), ExitCode.DONE, DISABLED)
            now = self._others(ours)
            changed = [table for table, digest in others.items() if now.get(table, EMPTY) != digest]
            if changed:
                raise Unproved(f"rows of others in {', '.join(changed)} are not as they were")
            return after()

        self._prove("rollback", level, roll_back)

    def _restore(self, snapshot: str, full: Digests) -> str:
        with self._keeper.beside(self._keeper.find(snapshot)) as restoring:
            restoring.bring_back()
        return self._same(full)

    # what stands

    def _state(self) -> Digests:
        """Return the digest of every table of the application, and of the schema's objects, by name."""
        names = sorted(name for name in self._backend.tables() if not name.startswith(("runner_", "sqlite_")))
        objects = sorted(name for name in self._backend.objects() if not name.partition(" ")[2].startswith("runner_"))
        return {"schema": of_rows(objects), **{name: of_rows(self._rows(name)) for name in names}}

    def _rows(self, table: str) -> Any:
        order = ", ".join(map(quoted, self._backend.primary_key(table)))
        return self._backend.stream(f"SELECT * FROM {quoted(table)} ORDER BY {order}")

    def _same(self, expected: Digests) -> str:
        now = self._state()
        different = sorted(name for name in {*expected, *now} if expected.get(name) != now.get(name))
        if different:
            raise Unproved(f"not as it was before: {', '.join(different)}")
        return "every table has the digest from before" if len(now) > 1 else "nothing is left, as before"

    def _ours(self) -> Ours:
        """Return the rows that the rollout made, and those that it wrote over as they were before, by table."""
        tables = [table for table in TABLES if table.name in self._backend.tables()]
        name = self._rollout.name
        return {
            table.name: (
                unseed.made(self._backend, table, name),
                {key: each.before for key, each in unseed.written_over(self._backend, table, name).items()},
            )
            for table in tables
        }

    def _others(self, ours: Ours) -> Digests:
        """Return the digest of the rows that are not *ours* by table, without the tables that migrations made."""
        ledger = open_site(self._rollout, self._backend, self._clock).ledger
        made = {name.partition(" ")[2] for name in ledger.made_objects()}
        tables = [name for name in self._state() if name != "schema" and (name in ours or name not in made)]
        return {name: of_rows(self._rows_of_others(name, ours.get(name))) for name in tables}

    def _rows_of_others(self, name: str, ours: Rows | None) -> Iterator[tuple[Any, ...]]:
        if ours is None:
            yield from self._rows(name)
            return
        key = next(table.key for table in TABLES if table.name == name)
        columns = list(self._backend.columns(name))
        places = [columns.index(column) for column in key]
        known = {*ours[0], *ours[1]}
        yield from (row for row in self._rows(name) if tuple(row[place] for place in places) not in known)

    def _nothing_of(self, ours: Ours) -> str:
        """Make sure that no row that the rollout made stands, and that those it wrote over are as they were."""
        for table in TABLES:
            if table.name in ours and table.name in self._backend.tables():
                made, before = ours[table.name]
                if left := read(self._backend, table, made, ()):
                    raise Unproved(f"{len(left)} rows of the rollout are left in {table.name}")
                columns = sorted({name for row in before.values() for name in row} - {*table.key})
                wanted = {key: {name: row[name] for name in columns} for key, row in before.items()}
                if wanted and read(self._backend, table, wanted, columns) != wanted:
                    raise Unproved(f"rows of {table.name} that were there before are not as they were")
        return "nothing of the rollout is left, and rows of others are as they were"


def _said(problem: Problem) -> str:
    return f"{problem.what} (fix: {problem.fix})" if problem.fix else problem.what


def _expect(outcome: Outcome, code: ExitCode, stage: str | None = None) -> None:
    if outcome.exit_code is not code or stage not in {None, outcome.stage}:
        raise Unproved(f"ended at {outcome.stage} with exit code {outcome.exit_code}")
