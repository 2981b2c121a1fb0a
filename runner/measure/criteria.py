"""
What exit criteria look at, each in its own way and within its own time.

What is found is a value, or the reason why there is none; whether it is as expected is judged elsewhere.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Subject
from runner.errors import StepFailed
from runner.measure.query import NoAnswer, cause, first_rows
from runner.samples import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.clock import Clock
    from runner.config.model import Criterion
    from runner.store.backend import Backend

NO_DATABASE = "there is no database yet"
SHOWN = 3
"""So many of the things that are wrong are shown."""


class Sight(NamedTuple):
    """
    What there is to look at.

    `connect` opens one more connection, None where there is no database yet. `backend` cannot write; nor can `reader`,
    which runs what a config says and can do nothing but read. Without a database both are None, and `missing` says why.
    """

    connect: Callable[[], Backend | None]
    clock: Clock
    backend: Backend | None
    reader: Backend | None
    missing: str = NO_DATABASE

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let what the block sees in the database be of one moment; what cannot be read is found by the criteria."""
        with ExitStack() as stack:
            for backend in (self.backend, self.reader):
                with suppress(StepFailed):
                    if backend is not None:
                        stack.enter_context(backend.one_moment())
            yield


@contextmanager
def sight(connect: Callable[[], Backend | None], clock: Clock) -> Iterator[Sight]:
    """Open what there is to look at. That it cannot be opened is no error here: the criteria will say so."""
    with ExitStack() as stack:
        try:
            backend = connect()
            if backend is not None:
                stack.enter_context(closing(backend))
                reader = stack.enter_context(closing(backend.reader()))
        except StepFailed as failure:
            yield Sight(connect, clock, None, None, failure.problems[0].what)
            return
        yield Sight(connect, clock, backend, reader if backend else None)


def look(seen: Sight, criterion: Criterion) -> Finding:
    """Find out what *criterion* speaks of."""
    elsewhere = _ELSEWHERE.get(criterion.subject)
    try:
        if elsewhere is not None:
            return elsewhere(seen, criterion)
        if seen.backend is None or seen.reader is None:
            return Finding(error=seen.missing)
        return _IN_DATABASE[criterion.subject](_Look(seen.backend, seen.reader, seen.clock, criterion))
    except NoAnswer as failure:
        return Finding(error=str(failure))
    except StepFailed as failure:
        return Finding(error=cause(failure, criterion.timeout_s))


class _Look(NamedTuple):
    """One look into the database."""

    backend: Backend
    reader: Backend
    clock: Clock
    criterion: Criterion

    def columns(self, table: str) -> list[str]:
        """Return the columns of *table*; NoAnswer where there is no such table."""
        columns = list(self.backend.columns(table))
        if not columns:
            raise NoAnswer(f"there is no table {table}")
        return columns

    def column(self) -> str:
        """Return the criterion's column, quoted, once it is known: SQLite takes what is no column for a text."""
        table, column = self.criterion.table, self.criterion.column
        if column not in self.columns(table):
            raise NoAnswer(f"{table} has no column {column}")
        return f'"{column}"'

    def row(self, what: str, *, and_also: str = "", **values: Any) -> tuple[Any, ...]:
        """Return *what*, aggregates over the rows that the criterion selects, within its time."""
        criterion = self.criterion
        self.columns(criterion.table)
        conditions = [condition for condition in (criterion.where, and_also) if condition]
        where = " AND ".join(f"(\n{condition}\n)" for condition in conditions)  # a comment at its end does not matter
        sql = f'SELECT {what} FROM "{criterion.table}"' + (f" WHERE {where}" if where else "")
        return first_rows(self.reader, sql, criterion.timeout_s, self.clock.monotonic, values)[0]


def _table(look: _Look) -> Finding:
    name = look.criterion.table
    if name in look.backend.tables():
        return Finding("exists")
    return Finding("is a view, not a table" if f"view {name}" in look.backend.objects() else "is not there")


def _integrity(look: _Look) -> Finding:
    with look.backend.deadline(look.criterion.timeout_s, look.clock.monotonic):
        problems = look.backend.integrity()
    return Finding(len(problems), _told(problems) or "0")


def _count(look: _Look) -> Finding:
    table = look.criterion.table
    [count, is_filled] = look.row(f'count(*), EXISTS (SELECT 1 FROM "{table}")')
    if look.criterion.where and not is_filled and look.criterion.expect.is_met_by(0):  # which would prove nothing
        return Finding(error=f"{table} has no row to look at")
    return Finding(count)


def _coverage(look: _Look) -> Finding:
    column = look.column()
    missing = [
        value
        for value in look.criterion.values
        if not look.row("count(*)", and_also=f"{column} = :wanted", wanted=value)[0]
    ]
    return Finding(len(missing), f"{', '.join(map(str, missing))} missing" if missing else "all are there")


def _json(look: _Look) -> Finding:
    [total, valid] = look.row(f"count(*), count(*) FILTER (WHERE {look.backend.is_json.format(look.column())})")
    if not total:
        return Finding(error=f"{look.criterion.table} has no row to look at")
    return Finding(total - valid, f"{total - valid} of {total}")


def _not_expired(look: _Look) -> Finding:
    column = look.column()
    instant, now = look.backend.instant.format(column), look.backend.instant.format(":now")
    [total, expired, unreadable] = look.row(
        f"count(*), count(*) FILTER (WHERE {instant} <= {now}),"
        f" count(*) FILTER (WHERE {column} IS NOT NULL AND {instant} IS NULL)",
        now=look.backend.time(look.clock.now()),
    )
    if not total:
        return Finding(error=f"{look.criterion.table} has no row to look at")
    if unreadable:
        return Finding(error=f"{look.criterion.column} holds no time in {unreadable} of {total} rows")
    return Finding(expired, f"{expired} of {total}")


def _fields(look: _Look) -> Finding:
    from runner.measure.classes import NoClass, look_at  # noqa: PLC0415  only where classes are declared

    columns = {table: look.columns(table) for table, _ in look.criterion.classes}
    try:
        found = look_at(tuple(path for _, path in look.criterion.classes), look.criterion.timeout_s)
    except NoClass as failure:
        return Finding(error=str(failure))
    differences = []
    for table, path in look.criterion.classes:
        fields = found[path].get("fields")
        if fields is None:
            why = found[path].get("error", "it is neither an SQLAlchemy model, a dataclass nor a NamedTuple")
            return Finding(error=f"{path} has no fields: {why}")
        name = path.partition(":")[2]
        differences += [f"{name} has no {column}" for column in columns[table] if column not in fields]
        differences += [f"{table} has no {field}" for field in fields if field not in columns[table]]
    return Finding(len(differences), _told(differences) or "0")


def _sql(look: _Look) -> Finding:
    criterion = look.criterion
    rows = first_rows(look.reader, criterion.query, criterion.timeout_s, look.clock.monotonic)
    if not rows:
        return Finding(error="the query gives no row")
    if len(rows) > 1 or len(rows[0]) > 1:
        return Finding(error="the query gives more than one value")
    [value] = rows[0]
    if value is None:
        return Finding(error="the query gives NULL")
    if isinstance(value, bytes):
        return Finding(error=f"the query gives {value!r:.60}, which is neither a number nor a text")
    if isinstance(value, str):
        return Finding(value, f"{value!r:.60}")
    return Finding(value if isinstance(value, int) else float(value))


def _database(seen: Sight, criterion: Criterion) -> Finding:
    """Connect anew, as an application does: connections that are open say nothing of those to come."""
    monotonic = seen.clock.monotonic
    start = monotonic()
    try:
        backend = seen.connect()
        if backend is None:
            return Finding(NO_DATABASE)
        with closing(backend), backend.deadline(criterion.timeout_s, monotonic):
            backend.scalar("SELECT 1")
    except StepFailed as failure:
        return Finding(cause(failure, criterion.timeout_s))
    took_s = monotonic() - start
    if took_s > criterion.timeout_s:
        return Finding(f"answered after {took_s:.1f} s, not within {criterion.timeout_s:g} s")
    return Finding("answers", f"answers in {took_s * 1000:.1f} ms")


def _http(_: Sight, criterion: Criterion) -> Finding:
    from runner.measure.address import response_time_ms  # noqa: PLC0415  HTTP is imported only where it is declared
    from runner.measure.request import Unanswered  # noqa: PLC0415

    try:
        took_ms = response_time_ms(criterion.url, criterion.timeout_s)
    except Unanswered as failure:
        return Finding(str(failure))
    return Finding("answers", f"answers in {took_ms:.1f} ms{'' if criterion.url else ' (the stand-in)'}")


def _import(_: Sight, criterion: Criterion) -> Finding:
    from runner.measure.classes import NoClass, look_at  # noqa: PLC0415  only where classes are declared

    [(__, path)] = criterion.classes
    try:
        found = look_at((path,), criterion.timeout_s)[path]
    except NoClass as failure:
        return Finding(str(failure))
    return Finding(found.get("error", "imports"))


def _told(problems: list[str]) -> str:
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


AT_ONCE = {
    Subject.TABLE,
    Subject.INTEGRITY,
    Subject.COUNT,
    Subject.COVERAGE,
    Subject.JSON,
    Subject.NOT_EXPIRED,
    Subject.SQL,
}
"""What is looked at in the database alone: none of these waits for anybody else."""
_IN_DATABASE: dict[Subject, Callable[[_Look], Finding]] = {
    Subject.TABLE: _table,
    Subject.INTEGRITY: _integrity,
    Subject.COUNT: _count,
    Subject.COVERAGE: _coverage,
    Subject.JSON: _json,
    Subject.NOT_EXPIRED: _not_expired,
    Subject.FIELDS: _fields,
    Subject.SQL: _sql,
}
_ELSEWHERE: dict[Subject, Callable[[Sight, Criterion], Finding]] = {
    Subject.DATABASE: _database,
    Subject.HTTP: _http,
    Subject.IMPORT: _import,
}
