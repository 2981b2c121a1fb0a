"""
SQLite, the embedded default.

The connection is in autocommit mode and every transaction is begun IMMEDIATE: a deferred one that reads first and
writes later fails at once when somebody else wrote in between, whatever the busy timeout says. `synchronous` is FULL:
a ledger that forgets its last commit in a power cut is none. sqlite-utils is used where the schema is looked at.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from runner.errors import Busy, Problem, StatementFailed, StepFailed, Where
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from datetime import datetime

    import sqlite_utils

    from runner.config.model import Migration, Statement
    from runner.store.backend import Beside, Row

BUSY_TIMEOUT_S = 5.0
PATIENCE_S = 20.0
"""An application may write for so long before the runner gives up waiting for its turn."""
SHORTEST_TURN_S = 0.0005
LONGEST_TURN_S = 0.002
"""It asks for its turn so often: at first at the pace of one commit, later at that of a few."""
OURS_IN_A_TRANSACTION = (
    "ignore_check_constraints=OFF",
    "query_only=OFF",
    "trusted_schema=ON",
    "locking_mode=NORMAL",
    "writable_schema=OFF",
)
OURS = (*OURS_IN_A_TRANSACTION, "foreign_keys=ON", "synchronous=FULL")
"""What a migration may set for itself is set back after it."""
NO_SHARED_MEMORY = "SQLITE_IOERR_SHMMAP"
NO_LOCKS = ("SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_CHECKRESERVEDLOCK", "SQLITE_PROTOCOL")
"""What SQLite says on file systems that are nothing for a database."""
MOST_ORPHANS = 100
"""So many rows without a parent are listed, as many as `integrity_check` lists by itself."""
BRINGING_BACK = (
    "foreign_keys=OFF",  # rows come back in any order, and what refers to them stays; looked at before the commit
    "ignore_check_constraints=ON",
    "temp_store=FILE",  # what is put aside meanwhile may be large
    "secure_delete=FAST",  # what is replaced is not written over twice
    "cache_size=-16384",
)
KEEPING = ("CREATE", "INSERT", "UPDATE", "DELETE", "SELECT", "WITH")
"""
Statements that begin so leave every schema object that stood before: after them only what is new is read. A thousand
migrations would otherwise read half a million rows to find a thousand.
"""


class _Explained:
    """Turn what SQLite says inside the block into a problem that says which file, and what to do."""

    def __init__(self, path: Path) -> None:
        self._where = Where(str(path))

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "")
            failure = Busy if name.startswith("SQLITE_BUSY") else StepFailed
            raise failure(Problem(f"SQLite: {error}", self._where, _advice(name))) from error
        if isinstance(error, OSError):
            advice = _advice("SQLITE_CANTOPEN")
            raise StepFailed(Problem(f"cannot open the database: {error.strerror}", self._where, advice)) from error


class _Schema(NamedTuple):
    """The objects of a schema as they were seen at *version*; `last_row` is the last one's place in sqlite_master."""

    version: int | None = None
    last_row: int = 0
    objects: frozenset[str] = frozenset()


def path_of(url: str) -> Path:
    """Return the file that a `sqlite:///` URL names: three slashes for a relative path, four for an absolute one."""
    return Path(unquote(url.removeprefix("sqlite://")[1:]))


class SqliteBackend:
    """
    A connection to one SQLite file. `create` makes the file (0600, WAL) where there is none.

    `imagined`: the empty database that would stand at *path*; it is gone when it is closed, and no file is made.
    """

    differs = "IS NOT"
    identity = "INTEGER PRIMARY KEY"
    is_json = "json_valid({})"
    instant = "julianday({})"

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False, imagined: bool = False) -> None:
        self.path = path
        self._explained = _Explained(path)
        self._schema = _Schema()
        self._only_added = False
        self._authorizer: Callable[..., int] | None = None
        self.longest_transaction_s = 0.0
        self._tidies_up = read_only and not Path(f"{path}-wal").exists()
        with self._explained:
            if not imagined:
                _refuse_what_is_no_file(path)
            new = create and _make_file(path)
            if not read_only:
                _let_write_beside(path)
            mode = "memory" if imagined else "ro" if read_only else "rw"
            self._conn = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
            if new:
                self._patiently("PRAGMA journal_mode=WAL")
            self._look_inside(f"{path.absolute().as_uri()}?mode=rw", new=new)
            self._conn.execute("PRAGMA foreign_keys=ON")
            self._conn.execute("PRAGMA synchronous=FULL")
            self._conn.execute("PRAGMA temp_store=MEMORY")

    def _look_inside(self, uri: str, *, new: bool) -> None:
        """
        Read a little, so that what is wrong with the file is found now.

        Where a process was killed in the middle of a commit, whoever reads first takes back what it had begun. A
        connection that only reads cannot: one that may write does it, and writes nothing else.

        Where processes cannot share memory, as on many network file systems, a new database does without WAL.
        """
        look = "SELECT count(*) FROM sqlite_master"
        try:
            self._conn.execute(look).fetchone()
        except sqlite3.OperationalError as error:
            if new and error.sqlite_errorname == NO_SHARED_MEMORY:
                self._do_without_log(uri)
                return
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as writer:
                writer.execute(look).fetchone()
            self._conn.execute(look).fetchone()

    def _do_without_log(self, uri: str) -> None:
        """Let a new database have a journal that is no log: whoever has it alone needs no shared memory for that."""
        self._conn.close()
        self._conn = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        for setting in ("locking_mode=EXCLUSIVE", "journal_mode=DELETE", "locking_mode=NORMAL"):
            self._patiently(f"PRAGMA {setting}")
        self._conn.execute("SELECT count(*) FROM sqlite_master").fetchone()  # lets go of the file
        Path(f"{self.path}-shm").unlink(missing_ok=True)

    @cached_property
    def inspected(self) -> sqlite_utils.Database:
        """The same connection as sqlite-utils sees it."""
        from sqlite_utils import Database  # noqa: PLC0415  costs 100 ms, and reading commands do without

        return Database(self._conn, recursive_triggers=False, execute_plugins=False)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._patiently("BEGIN IMMEDIATE")
        begun = time.monotonic()
        try:
            yield
            self._patiently("COMMIT")  # outside of WAL mode, one that reads keeps it waiting
            self.longest_transaction_s = max(self.longest_transaction_s, time.monotonic() - begun)
        except BaseException:
            self._schema = _Schema()
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
            raise

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        self._ourselves("BEGIN", "SELECT count(*) FROM sqlite_master")
        try:
            yield
        finally:
            if self._conn.in_transaction:
                self._ourselves("ROLLBACK")

    def _ourselves(self, *statements: str) -> None:
        """Run what nobody else may who has this connection for reading."""
        self._conn.set_authorizer(None)
        try:
            with self._explained:
                for sql in statements:
                    self._conn.execute(sql).fetchone()
        finally:
            self._conn.set_authorizer(self._authorizer)

    def _patiently(self, sql: str) -> None:
        """
        Run what takes a lock of the whole file; wait for it in turns, between which signals are heard.

        SQLite's own busy handler soon asks only ten times a second: an application that writes all the time lets the
        file go for moments that are far shorter, and would keep the runner waiting for ever.
        """
        begun = time.monotonic()
        self._conn.execute("PRAGMA busy_timeout=0")
        try:
            while self._is_busy(sql, begun + PATIENCE_S):
                waited_s = time.monotonic() - begun
                time.sleep(min(LONGEST_TURN_S, SHORTEST_TURN_S + waited_s / 100))
        finally:
            self._conn.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}")

    def _is_busy(self, sql: str, give_up: float) -> bool:
        """Run *sql*, and say whether others hold the file; raise where anything else is wrong, or it is too late."""
        try:
            self._conn.execute(sql)
        except sqlite3.Error as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up:
                with self._explained:
                    raise
            return True
        return False

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        self._conn.execute("SAVEPOINT runner_shadow")
        try:
            yield
        finally:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK TO runner_shadow")
                self._conn.execute("RELEASE runner_shadow")

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        with self._explained:
            cursor = self._conn.execute(sql, values or {})
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def stream(self, sql: str, values: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        with self._explained:
            yield from self._conn.execute(sql, values or {})

    def scalar(self, sql: str, values: Mapping[str, Any] | None = None) -> Any:
        with self._explained:
            row = self._conn.execute(sql, values or {}).fetchone()
        return row[0] if row else None

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> int:
        with self._explained:
            return self._conn.execute(sql, values or {}).rowcount

    def execute_many(self, sql: str, values: Iterable[Mapping[str, Any]]) -> int:
        with self._explained:
            return max(0, self._conn.executemany(sql, values).rowcount)

    def load(self, table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        places = ", ".join("?" for _ in columns)
        with self._explained:
            self._conn.execute(f"DROP TABLE IF EXISTS temp.{table}")
            self._conn.execute(f"CREATE TEMP TABLE {table} ({declared})")
            alone = not self._conn.in_transaction
            if alone:
                self._conn.execute("BEGIN")
            try:
                self._conn.executemany(f"INSERT INTO temp.{table} VALUES ({places})", rows)
                if alone:
                    self._conn.execute("COMMIT")
            except BaseException:
                if alone and self._conn.in_transaction:
                    self._conn.execute("ROLLBACK")
                raise

    def run(self, migration: Migration, statements: tuple[Statement, ...]) -> None:
        inside = self._conn.in_transaction
        try:
            self._run(migration, statements, inside=inside)
        finally:
            if any(statement.sql[:6].upper() == "PRAGMA" for statement in statements):
                for setting in OURS_IN_A_TRANSACTION if self._conn.in_transaction else OURS:
                    self._conn.execute(f"PRAGMA {setting}").close()

    def _run(self, migration: Migration, statements: tuple[Statement, ...], *, inside: bool) -> None:
        self._only_added = all(statement.sql.lstrip()[:6].upper().startswith(KEEPING) for statement in statements)
        if not self._only_added:
            self._schema = _Schema()
        for statement in statements:
            try:
                self._conn.execute(statement.sql).close()
            except (sqlite3.Error, sqlite3.Warning) as error:
                if _advice(getattr(error, "sqlite_errorname", "")):  # the disk, not the statement
                    with self._explained:
                        raise
                raise StatementFailed(
                    Problem(
                        f"migration {migration.version}_{migration.name} failed: {error}",
                        _where(migration, statement),
                        "correct the statement and run the same command again; nothing of this migration was kept",
                    )
                ) from error
            if self._conn.in_transaction != inside:
                raise StepFailed(
                    Problem(
                        f"migration {migration.version}_{migration.name}: the statement ended the runner's transaction",
                        _where(migration, statement),
                        "take out what commits or rolls back (INSERT OR ROLLBACK, say); the runner does that",
                    )
                )

    def holds(self, statement: Statement) -> bool:
        with self._explained:
            rows = self._conn.execute(statement.sql).fetchmany(2)
        return len(rows) == 1 and len(rows[0]) == 1 and isinstance(rows[0][0], int | float) and bool(rows[0][0])

    def tables(self) -> set[str]:
        return {row[0] for row in self.stream("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def columns(self, table: str) -> dict[str, str]:
        if not self.inspected[table].exists():
            return {}
        return {column.name: column.type for column in self.inspected[table].columns}

    def primary_key(self, table: str) -> tuple[str, ...]:
        columns = self.rows("SELECT name, pk FROM pragma_table_info(:table) ORDER BY pk, cid", {"table": table})
        return tuple(row["name"] for row in columns if row["pk"]) or tuple(row["name"] for row in columns)

    def references(self, table: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        found: dict[tuple[str, int], list[tuple[str, str]]] = {}
        parent_key = self.primary_key(table)
        for child, number, place, column, parent in self.stream(
            'SELECT m.name, f.id, f.seq, f."from", f."to" FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f'
            " WHERE m.type = 'table' AND lower(f.\"table\") = lower(:table) ORDER BY m.name, f.id, f.seq",
            {"table": table},
        ):
            found.setdefault((child, number), []).append((column, parent or parent_key[place]))
        return [(child, tuple(columns)) for (child, _), columns in found.items()]

    def integrity(self) -> list[str]:
        found = [str(row[0]) for row in self.stream("PRAGMA integrity_check")]
        orphans = islice(self.stream("PRAGMA foreign_key_check"), MOST_ORPHANS)
        problems = [f"row {row} of {table} refers to no row of {parent}" for table, row, parent, _ in orphans]
        return [*(line for line in found if line != "ok"), *problems]

    def objects(self) -> frozenset[str]:
        version = self.scalar("PRAGMA schema_version")
        if version == self._schema.version:
            return self._schema.objects
        start = self._schema if self._only_added else _Schema()
        self._only_added = False
        found = self._conn.execute(
            "SELECT rowid, type || ' ' || name FROM sqlite_master WHERE rowid > ? ORDER BY rowid", [start.last_row]
        ).fetchall()
        names = {name for _, name in found if not name.partition(" ")[2].startswith("sqlite_")}
        self._schema = _Schema(version, found[-1][0] if found else start.last_row, start.objects | names)
        return self._schema.objects

    def copy(self, mentioned: Container[str], target: Path) -> dict[str, int]:
        from runner.store import sqlite_copy  # noqa: PLC0415  only where a snapshot is taken
        from runner.store.sqlite_form import Uncopyable  # noqa: PLC0415

        try:
            with _Explained(target):
                return sqlite_copy.copy(self.path, target, mentioned)
        except Uncopyable as why:
            raise StepFailed(Problem(f"no exact copy can be made: {why}", Where(str(self.path)))) from why

    @contextmanager
    def beside(self, copy: Path) -> Iterator[Beside]:
        from runner.store import sqlite_back  # noqa: PLC0415  only where a snapshot is brought back

        with self._explained:
            self._conn.execute("ATTACH ? AS kept", [f"{copy.absolute().as_uri()}?mode=ro&immutable=1"])
            for setting in BRINGING_BACK:
                self._conn.execute(f"PRAGMA {setting}").close()
        try:
            yield sqlite_back.Beside(self._conn, {table.name: table.key for table in TABLES})
        except sqlite3.Error:
            with self._explained:
                raise
        except sqlite_back.NotEqual as why:
            what = f"the snapshot could not be brought back exactly, and nothing was changed: {why}"
            raise StepFailed(Problem(what, Where(str(self.path)), "remove those rows, or bring back another")) from why
        finally:
            self._schema = _Schema()
            for setting in (*OURS, "temp_store=MEMORY"):
                self._conn.execute(f"PRAGMA {setting}").close()
            self._conn.execute("DETACH kept")

    def time(self, moment: datetime) -> str:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def copy_to(self, url: str) -> None:
        target = path_of(url)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with _Explained(target), closing(sqlite3.connect(target)) as copy:
            self._conn.backup(copy)

    def reader(self) -> SqliteBackend:
        reader = SqliteBackend(self.path, read_only=True)
        reader._authorizer = _only_read
        reader._conn.set_authorizer(_only_read)
        return reader

    @contextmanager
    def deadline(self, seconds: float, monotonic: Callable[[], float]) -> Iterator[None]:
        """Interrupt whatever query is running when *seconds* are over."""
        end = monotonic() + seconds
        self._conn.set_progress_handler(lambda: int(monotonic() > end), 10_000)
        try:
            yield
        finally:
            self._conn.set_progress_handler(None, 0)

    def close(self) -> None:
        self._conn.close()
        if self._tidies_up:
            self._tidy_up()

    def _tidy_up(self) -> None:
        """
        Let SQLite remove the empty files that a connection which only reads has left beside the database.

        Whoever may write removes them when the last connection closes; there is nothing in them to be written.
        """
        log = Path(f"{self.path}-wal")
        with suppress(OSError, sqlite3.Error):
            if log.stat().st_size == 0:
                with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as last:
                    last.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _only_read(action: int, *_: object) -> int:
    """Let a statement read and nothing else: no ATTACH, no PRAGMA, no transaction that would freeze what is seen."""
    reading = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
    return sqlite3.SQLITE_OK if action in reading else sqlite3.SQLITE_DENY


def _where(migration: Migration, statement: Statement) -> Where:
    return Where(os.path.relpath(migration.path), statement.line)


def _make_file(path: Path) -> bool:
    """Make an empty file that only its owner can read; say whether there was none, or an empty one."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return path.stat().st_size == 0


def _refuse_what_is_no_file(path: Path) -> None:
    """Raise OSError where a pipe, a device or a folder stands at *path*: SQLite would take it for a broken disk."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(number, "Is a directory" if stat.S_ISDIR(mode) else "Not a regular file", str(path))


def _let_write_beside(path: Path) -> None:
    """
    Give back to the files beside a database the right to write that the database itself has, where they are ours.

    Who reads one that may only be read leaves them as read-only as it is, and nobody who may write would get past them.
    """
    with suppress(OSError):
        rights = stat.S_IMODE(path.stat().st_mode)
        for beside in (Path(f"{path}-wal"), Path(f"{path}-shm")):
            found = beside.stat()
            if found.st_uid == os.geteuid() and rights & ~found.st_mode & stat.S_IWUSR:
                beside.chmod(rights)


def has_content(path: Path) -> bool:
    """Say whether there is a file at *path* that holds anything; StepFailed where that cannot be seen."""
    with _Explained(path):
        return path.exists() and path.stat().st_size > 0


def _advice(errorname: str) -> str | None:
    """Return what to do about an SQLite error, by its symbolic name."""
    for prefix, advice in {
        "SQLITE_BUSY": f"another process held the database for {PATIENCE_S:.0f} s; run the same command again",
        "SQLITE_FULL": "make room on the disk and run the same command again; nothing is half done",
        "SQLITE_READONLY": "give this user the right to write the file, its -wal and -shm beside it, and its folder",
        "SQLITE_CANTOPEN": "check the path, and the rights on the file, its -wal and -shm beside it, and its folder",
        "SQLITE_NOTADB": "the file is no SQLite database; name another one in the environment's `database`",
        NO_SHARED_MEMORY: "put the database on a local disk: WAL mode needs memory that processes share, and this file "
        "system has none, as many network file systems",
        **dict.fromkeys(NO_LOCKS, "put the database on a local disk: this file system cannot lock files"),
        "SQLITE_IOERR": "look at the disk, which may be full or broken, and run the same command again",
        "SQLITE_CORRUPT": "restore the file from a backup",
    }.items():
        if errorname.startswith(prefix):
            return advice
    return None
