"""
Take seeds back: rows that the rollout made are removed, rows that it found get back what was written over.

Undo is compare-and-set, as that of stages: a value that is no longer what seeds wrote is reported and left alone. Rows
that nobody but the application made are never touched.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from runner.errors import Problem
from runner.store.changes import Change, Conflict, read, set_columns
from runner.store.digest import canonical, read_back
from runner.store.names import quoted

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from runner.store.backend import Backend, Row
    from runner.store.changes import Key
    from runner.store.tables import Table

_OF_ROLLOUT = "run_id IN (SELECT id FROM runner_runs WHERE rollout = :rollout)"


class Images(NamedTuple):
    """How a row looked before seeds wrote to it, and what they wrote. `after` is None where that was not kept."""

    before: Row
    after: Row | None


def made(backend: Backend, table: Table, rollout: str) -> list[Key]:
    """Return the keys of the rows that seeds of *rollout* made and that still stand, and are not the application's."""
    seeded = backend.stream(
        f"SELECT row_key FROM runner_seeds WHERE table_name = :table AND before_json IS NULL AND {_OF_ROLLOUT}",
        {"table": table.name, "rollout": rollout},
    )
    chosen = _choose(backend, table, [tuple(json.loads(key)) for (key,) in seeded])
    key = ", ".join(f"t.{name}" for name in table.key)
    ours = table.ours or "true"
    return list(backend.stream(f"SELECT {key} FROM {table.name} AS t WHERE {chosen} AND {ours} ORDER BY {key}"))


def written_over(backend: Backend, table: Table, rollout: str) -> dict[Key, Images]:
    """Return the rows that *rollout* found and that its seeds wrote to, by key."""
    return {
        tuple(json.loads(row["row_key"])): Images(
            read_back(row["before_json"]), read_back(row["after_json"]) if row.get("after_json") else None
        )
        for row in backend.rows(
            f"SELECT * FROM runner_seeds WHERE table_name = :table AND before_json IS NOT NULL AND {_OF_ROLLOUT}",
            {"table": table.name, "rollout": rollout},
        )
    }


def put_back(backend: Backend, table: Table, images: dict[Key, Images]) -> tuple[int, list[Conflict]]:
    """Set every value that seeds wrote back to what it was; return how many rows were written, and the conflicts."""
    if not images:
        return 0, []
    columns = sorted({name for image in images.values() for name in (*image.before, *(image.after or ()))})
    changes: list[Change] = []
    for key, now in read(backend, table, images, columns).items():
        before, after = images[key]
        ours = {name: value for name, value in (after or {}).items() if now[name] == value != before[name]}
        if ours:
            changes.append(Change(table.name, key, ours, {name: before[name] for name in ours}))
    set_columns(backend, table, changes)
    conflicts = [
        Conflict(table.name, key, name, (after or {}).get(name), now[name], before[name], "a seed")
        for key, now in read(backend, table, images, columns).items()
        for before, after in [images[key]]
        for name in (before if after is None else after)
        if name not in table.bookkeeping and now[name] != before[name]
    ]
    return len(changes), conflicts


def remove(backend: Backend, table: Table, rows: Iterable[Key]) -> int:
    """Delete *rows*; return how many were deleted. What refers to them is the caller's to look at before."""
    chosen = _choose(backend, table, rows)
    return backend.execute(f"DELETE FROM {table.name} AS t WHERE {chosen}")


def referred_to(backend: Backend, table: Table, rows: Iterable[Key], going: Container[str]) -> Iterator[Problem]:
    """Yield a problem for each foreign key by which rows of a table that is not *going* refer to one of *rows*."""
    chosen = _choose(backend, table, rows)
    for child, columns in backend.references(table.name):
        if child in going:
            continue
        match = " AND ".join(f"c.{quoted(column)} = t.{quoted(parent)}" for column, parent in columns)
        count = backend.scalar(
            f"SELECT count(*) FROM {quoted(child)} AS c JOIN {table.name} AS t ON {match} WHERE {chosen}"
        )
        if count:
            names = ", ".join(column for column, _ in columns)
            refer = "1 row refers" if count == 1 else f"{count} rows refer"
            yield Problem(
                f"{refer} from {child}.{names} to rows of {table.name} that the rollback removes",
                fix=f"delete those rows of {child}, or let them refer to others; then run the same command again",
            )


def claimed_by_others(backend: Backend, table: Table, rows: Iterable[Key], rollout: str) -> Iterator[Problem]:
    """Yield a problem for each other rollout that has a stage standing on one of *rows*."""
    backend.load("runner_gone", {"row_key": "TEXT PRIMARY KEY"}, ((canonical(row),) for row in rows))
    for other, count in backend.stream(
        "SELECT s.rollout, count(DISTINCT c.row_key) FROM runner_stages s"
        " JOIN runner_changes c ON c.stage_id = s.id JOIN runner_gone g ON g.row_key = c.row_key"
        " WHERE s.rollout <> :rollout AND s.state IN ('entered', 'passed') AND c.table_name = :table"
        " GROUP BY s.rollout ORDER BY s.rollout",
        {"table": table.name, "rollout": rollout},
    ):
        yield Problem(
            f"a stage of rollout {other} stands on {count} {'row' if count == 1 else 'rows'} of {table.name}"
            " that the rollback removes",
            fix=f"roll {other} back first, with its own config: runner rollback CONFIG --level gradual",
        )


def _choose(backend: Backend, table: Table, rows: Iterable[Key]) -> str:
    """Load *rows* and return the condition under which row t is one of them."""
    places = [f"k{number}" for number in range(len(table.key))]
    backend.load("runner_gone", dict.fromkeys(places, ""), rows)
    key = ", ".join(f"t.{name}" for name in table.key)
    return f"({key}) IN (SELECT {', '.join(places)} FROM runner_gone)"
