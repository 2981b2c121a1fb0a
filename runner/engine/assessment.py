"""What a rollback of some level is going to do, as the database stands. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.act import unseed
from runner.act.revert import Reverting, dropped, reverting
from runner.config.model import Level
from runner.decide import plan
from runner.errors import Problem, Where
from runner.store.changes import Changes
from runner.store.digest import canonical, read_back
from runner.store.mentions import Mentions
from runner.store.names import quoted
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from runner.config.model import Migration
    from runner.engine.site import Site
    from runner.store.backend import Backend, Row
    from runner.store.changes import Key
    from runner.store.ledger import StageEntry

Made = dict[str, frozenset[str]]
"""The schema objects that each migration of the rollout really made, each as `kind name`, by version."""


class Kept(NamedTuple):
    """A table that the rollout made and that stays, with the migration that made it: why, and the rows of others."""

    table: str
    version: str
    rows: int
    reason: str


class Assessment(NamedTuple):
    """
    What a level is going to do.

    `stages` are taken back, newest first; `remove` are the rows by table that the rollout made, `put_back` those that
    it found and wrote over. `reverting` are the migrations whose down sections run, newest first; `staying` those that
    stay applied, for the tables that are `kept`. With an obstacle nothing is done. Of a gradual one, `restored` rows
    are put back to what they were before the stages, and `conflicts` are what others changed: a person is needed then.
    """

    level: Level
    stages: list[StageEntry]
    remove: dict[str, list[Key]]
    put_back: dict[str, dict[Key, unseed.Images]]
    reverting: list[Reverting]
    kept: list[Kept]
    staying: list[str]
    obstacles: list[Problem]
    restored: int = 0
    conflicts: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to roll back."""
        return not (self.stages or any(self.remove.values()) or any(self.put_back.values()) or self.reverting)

    @property
    def going(self) -> set[str]:
        """The tables that go with their migrations."""
        return {name.removeprefix("table ") for each in self.reverting for name in each.made if _is_table(name)}


def nothing(level: Level) -> Assessment:
    """Return what *level* does where there is nothing to roll back."""
    return Assessment(level, [], {}, {}, [], [], [], [])


def assess(site: Site, level: Level) -> Assessment:
    """Return what *level* is going to do; Mismatch where a migration's file is not the one that was applied."""
    found = nothing(level)._replace(stages=list(reversed(site.ledger.standing(site.rollout.name))))
    if not site.ledger.exists:
        return found
    if level is Level.GRADUAL:
        return _with_conflicts(site, found)
    backend, name = site.backend, site.rollout.name
    tables = [table for table in TABLES if table.name in backend.tables()]
    found = found._replace(
        remove={table.name: unseed.made(backend, table, name) for table in tables},
        put_back={table.name: unseed.written_over(backend, table, name) for table in tables},
    )
    if level is Level.EMERGENCY:
        found = _with_migrations(site, found)
    return found._replace(obstacles=[*_irreversible(found), *_in_the_way(site, found)])


def _with_conflicts(site: Site, found: Assessment) -> Assessment:
    """Add what a gradual rollback will find: the rows that stages wrote, and values that others changed in them."""
    restored: dict[tuple[str, Key], Row] = {}
    conflicts: list[str] = []
    for number, entry in enumerate(found.stages, start=1):
        older = [stage.id for stage in found.stages[number:]]
        conflicts += map(str, Changes(site.backend, entry.id).foresee_undo(older, restored))
    return found._replace(restored=len(restored), conflicts=tuple(dict.fromkeys(conflicts)))


def _with_migrations(site: Site, found: Assessment) -> Assessment:
    """Add what an emergency does beyond the seeds: it reverts migrations, but for those whose tables have to stay."""
    made = _made(site)
    migrations = plan.applied(site.rollout.migrations, site.survey.applied(), made)
    by_rollout = frozenset().union(*made.values())
    kept = _kept(site, found, made, migrations)
    staying = _staying(kept, migrations)
    there = site.backend.objects()
    return found._replace(
        reverting=[
            reverting(migration, made[migration.version], by_rollout, there)
            for migration in reversed(migrations)
            if migration.version not in staying
        ],
        kept=kept,
        staying=[f"{each.version}_{each.name}" for each in migrations if each.version in staying],
    )


def _made(site: Site) -> Made:
    """Return what the migrations made that took effect; of one that was only begun its verify queries know."""
    backend, ledger = site.backend, site.ledger
    declared = {migration.version: migration for migration in site.rollout.migrations}
    made: Made = {}
    for row in ledger.migrations_of(site.rollout.name):
        version = row["version"]
        if row["state"] == "done":
            made[version] = frozenset(read_back(row["objects_json"]))
        elif version in declared and all(map(backend.holds, declared[version].verify)):
            new = backend.objects() - ledger.objects_before(version)
            drops = {(dropped(statement.sql) or "").lower() for statement in declared[version].down}
            made[version] = frozenset(name for name in new if name.lower() in drops)
    return made


def _kept(site: Site, found: Assessment, made: Made, migrations: Collection[Migration]) -> list[Kept]:
    """Return the tables that the rollout made and that have to stay: rows of others are in them, or refer to them."""
    there = site.backend.tables()
    tables = {
        name.removeprefix("table "): version
        for version, names in made.items()
        for name in sorted(names)
        if _is_table(name) and name.removeprefix("table ") in there
    }
    kept = {
        table: Kept(table, version, rows, f"it holds {rows} {'row' if rows == 1 else 'rows'} of others")
        for table, version in tables.items()
        if (rows := _others(site, table, found))
    }
    while more := _kept_with(site.backend, tables, kept, _staying(kept.values(), migrations)):
        kept |= more
    return list(kept.values())


def _is_table(name: str) -> bool:
    return name.startswith("table ")


def _kept_with(backend: Backend, tables: dict[str, str], kept: dict[str, Kept], staying: set[str]) -> dict[str, Kept]:
    """Return which more of *tables* have to stay, because tables that stay refer to them or came with them."""
    others = {table for table in backend.tables() if table not in tables or table in kept}
    more = {}
    for table, version in tables.items():
        referring = sorted({child for child, _ in backend.references(table)} & others - {table})
        if table not in kept and (referring or version in staying):
            reason = f"{', '.join(referring)} refers to it" if referring else f"its migration {version} stays"
            more[table] = Kept(table, version, 0, reason)
    return more


def _staying(kept: Iterable[Kept], migrations: Iterable[Migration]) -> set[str]:
    """Return the migrations that stay: they made a table that does, or their down section speaks of one."""
    kept = list(kept)
    versions = {table.version for table in kept}
    for migration in migrations:
        down = Mentions(statement.sql for statement in migration.down)
        if any(table.table in down for table in kept):
            versions.add(migration.version)
    return versions


def _others(site: Site, table: str, found: Assessment) -> int:
    """Return how many rows of *table* neither seeds nor the migration that made it have put there."""
    backend = site.backend
    ours = {canonical(key) for key in site.ledger.made_rows(table)}
    gone = set(found.remove.get(table, ()))
    if not ours:
        total: int = backend.scalar(f"SELECT count(*) FROM {quoted(table)}")
        return total - len(gone)
    known = next((each.key for each in TABLES if each.name == table), ())
    key = backend.primary_key(table)
    rows = backend.stream(f"SELECT {', '.join(map(quoted, (*key, *known)))} FROM {quoted(table)}")
    return sum(canonical(row[: len(key)]) not in ours and row[len(key) :] not in gone for row in rows)


def _irreversible(found: Assessment) -> Iterator[Problem]:
    for migration, *_ in found.reverting:
        if not migration.down or migration.destructive:
            why = "is declared destructive" if migration.down else "has no down section"
            yield Problem(
                f"migration {migration.version}_{migration.name} cannot be reverted: it {why}",
                Where(str(migration.path)),
                "bring a snapshot back: runner snapshot --list, then runner restore ID;"
                " or keep the schema: runner rollback --level standard",
            )


def _in_the_way(site: Site, found: Assessment) -> Iterator[Problem]:
    """Yield what hangs on rows that are to be removed: stages of other rollouts, and rows that refer to them."""
    for table in TABLES:
        if rows := found.remove.get(table.name):
            yield from unseed.claimed_by_others(site.backend, table, rows, site.rollout.name)
            yield from unseed.referred_to(site.backend, table, rows, found.going)
