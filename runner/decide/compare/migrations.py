"""What changed in the migrations: which there are, by number and by content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.decide.compare.change import Change, Who, paired, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Migration, Rollout
    from runner.decide.compare.change import Place


def migrations(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the migrations; nobody knows here which of them were applied."""
    found = paired(old.migrations, new.migrations, lambda each: int(each.version), lambda each: each.checksum)
    newest = max((int(migration.version) for migration in old.migrations), default=-1)
    for migration in found.gone:
        said = " is gone: a database that it was applied to will refuse the rollout"
        yield _change("migration-removed", migration, said, migration.checksum, None)
    for migration in found.come:
        code, said = "migration-added", " is new"
        if int(migration.version) < newest:
            code, said = "migration-too-late", f" is new and comes before {newest:04d}, which may be applied already"
        yield _change(code, migration, said, None, migration.checksum)
    for was, now in found.renamed:
        said = f" has the number {now.version} now: a database that it was applied to will refuse the rollout"
        yield _change("migration-renumbered", now, said, was.version, now.version, was)
    for was, now in found.both:
        if was.checksum != now.checksum:
            said = " was edited: a database that it was applied to will refuse the rollout"
            yield _change("migration-edited", now, said, was.checksum, now.checksum)
        elif was.name != now.name:
            yield _change("migration-renamed", now, f" is called {short(now.name)} now", was.name, now.name, was)


def _change(
    code: str, migration: Migration, said: str, before: Any, after: Any, called: Migration | None = None
) -> Change:
    shown = called or migration
    who = Who("migration", (f"{shown.version}_{shown.name}",))
    place: Place = ("rollout", "migrations") if after is None else ("migration", str(migration.path))
    return Change(code, f"migrations.{migration.version}", "", who, said, before, after, place)
