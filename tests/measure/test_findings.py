"""What there is to find, for each subject: the value, or the reason why there is none."""

import sqlite3
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ground import NOON

from runner.clock import WallClock
from runner.config.criteria import IMPLIED, expectation
from runner.config.model import Criterion, Subject
from runner.errors import Problem, StepFailed
from runner.measure.criteria import NO_DATABASE, look, sight
from runner.samples import Finding
from runner.store.sqlite import SqliteBackend

ANY = expectation("== 0")


class Clock(WallClock):
    """The real one, but that it is noon."""

    def now(self):
        return NOON


@pytest.fixture
def find(database, tmp_path):
    """Find out what a criterion speaks of, in the bundled tables."""

    def connect():
        return SqliteBackend(tmp_path / "rollout.db", read_only=True)

    def find(subject, **more):
        asked = Criterion("it", "c", subject, more.pop("expect", IMPLIED.get(subject, ANY)), **more)
        with sight(more.pop("connect", connect), Clock()) as seen:
            return look(seen, asked)

    return find


@pytest.fixture
def rows(database):
    """Three rows with a time, JSON and a number each."""
    database.execute("CREATE TABLE entries (sport TEXT, until, data, number)")
    database.execute_many(
        "INSERT INTO entries VALUES (:sport, :until, :data, :number)",
        [
            {"sport": "MLB", "until": "2026-08-02 12:00:00.001000", "data": "{}", "number": 1},
            {"sport": "NBA", "until": "2026-08-02 18:00:00", "data": "[1]", "number": 2},
            {"sport": None, "until": None, "data": "null", "number": None},
        ],
    )
    database.execute("CREATE TABLE bare (sport TEXT, until, data)")
    return database


def test_a_table_exists_and_a_view_is_none(find, rows):
    rows.execute("CREATE VIEW seen AS SELECT * FROM entries")

    assert Finding("exists") == find(Subject.TABLE, table="entries")
    assert Finding("is not there") == find(Subject.TABLE, table="entrie")
    assert Finding("is a view, not a table") == find(Subject.TABLE, table="seen")


def test_rows_are_counted_and_those_that_meet_a_condition(find, rows):
    assert Finding(3) == find(Subject.COUNT, table="entries")
    assert Finding(0) == find(Subject.COUNT, table="bare")
    assert Finding(2) == find(Subject.COUNT, table="entries", where="number >= 1 -- not NULL")
    assert Finding(0) == find(Subject.COUNT, table="entries", where="number > 2 OR 1 = 0")


def test_a_condition_on_no_row_at_all_proves_nothing(find, rows):
    assert Finding(error="bare has no row to look at") == find(Subject.COUNT, table="bare", where="sport = 'MLB'")
    assert Finding(error="bare has no row to look at") == find(Subject.JSON, table="bare", column="data")
    assert Finding(error="bare has no row to look at") == find(Subject.NOT_EXPIRED, table="bare", column="until")
    assert Finding(error="entries has no row to look at") == find(
        Subject.JSON, table="entries", column="data", where="number > 5"
    )


def test_no_row_where_some_are_wanted_is_a_count_like_any_other(find, rows):
    wanted = expectation(">= 20")

    assert Finding(0) == find(Subject.COUNT, table="bare", where="sport = 'MLB'", expect=wanted)


def test_values_are_covered_by_the_rows_that_count(find, rows):
    def covered(*values, **more):
        return find(Subject.COVERAGE, table="entries", column="sport", values=values, **more)

    assert Finding(0, "all are there") == covered("MLB", "NBA")
    assert Finding(2, "NHL, NFL missing") == covered("NHL", "MLB", "NFL")
    assert Finding(1, "NBA missing") == covered("MLB", "NBA", where="number < 2")
    assert Finding(1, "it's missing") == covered("it's")
    assert Finding(0, "all are there") == find(Subject.COVERAGE, table="entries", column="number", values=(1, 2.0))


@pytest.mark.parametrize("bad", ["{", "", "{'a': 1}", "NaN", None, b"\x00"])
def test_every_row_has_to_hold_valid_json(bad, find, rows):
    rows.execute("INSERT INTO entries (data) VALUES (:data)", {"data": bad})

    assert Finding(0, "0 of 3") == find(
        Subject.JSON, table="entries", column="data", where="sport IS NOT NULL OR data = 'null'"
    )
    assert Finding(1, "1 of 4") == find(Subject.JSON, table="entries", column="data")


@pytest.mark.parametrize(
    ("until", "expired"),
    [
        ("2026-08-02 12:00:00.001", 0),
        ("2026-08-02 12:00:00", 1),  # now is no longer before it
        ("2026-08-02T11:59:59", 1),  # the letter T sorts behind the blank
        ("2026-08-02T11:59:59Z", 1),
        ("2026-08-02T13:59:59+02:00", 1),
        ("2026-08-02T14:00:01+02:00", 0),
        ("2026-08-02", 1),
        (None, 0),  # never expires
    ],
)
def test_a_row_expires_when_its_time_is_over_however_the_time_is_written(until, expired, find, rows):
    rows.execute("INSERT INTO entries (until) VALUES (:until)", {"until": until})

    assert Finding(expired, f"{expired} of 4") == find(Subject.NOT_EXPIRED, table="entries", column="until")


@pytest.mark.parametrize("until", ["tomorrow", "", 1_785_672_000, b"\xff"])
def test_what_is_no_time_is_an_error(until, find, rows):
    rows.execute("INSERT INTO entries (until) VALUES (:until)", {"until": until})

    assert Finding(error="until holds no time in 1 of 4 rows") == find(
        Subject.NOT_EXPIRED, table="entries", column="until"
    )


@pytest.mark.parametrize("subject", [Subject.COVERAGE, Subject.JSON, Subject.NOT_EXPIRED])
def test_a_column_that_is_not_there_is_an_error_and_no_text(subject, find, rows):
    more = {"values": ("until",)} if subject is Subject.COVERAGE else {}

    assert Finding(error="entries has no column untli") == find(subject, table="entries", column="untli", **more)
    assert Finding(error="there is no table entrys") == find(subject, table="entrys", column="until", **more)


def test_the_database_is_sound(find, database):
    assert Finding(0, "0") == find(Subject.INTEGRITY)


def test_a_row_without_its_parent_is_found_and_only_some_are_shown(find, database, tmp_path):
    other = sqlite3.connect(tmp_path / "rollout.db")
    for name in "abcde":
        other.execute(
            "INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries)"
            " VALUES (?, 'MLB', 1, 1, 1)",
            [name],
        )
    other.commit()
    other.close()
    one = "of provider_states refers to no row of providers"

    assert Finding(5, f"row 1 {one}; row 2 {one}; row 3 {one} and 2 more") == find(Subject.INTEGRITY)


def test_a_page_that_was_overwritten_is_found(find, database, tmp_path):
    file = tmp_path / "rollout.db"
    database.execute("INSERT INTO providers VALUES (hex(zeroblob(9000)))")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size - 8192)
        opened.write(b"\xff" * 4096)

    found = find(Subject.INTEGRITY)

    assert found.error or found.value


@pytest.mark.parametrize(
    ("query", "finding"),
    [
        ("SELECT max(number) FROM entries", Finding(2)),
        ("SELECT 0.5", Finding(0.5)),
        ("SELECT sport FROM entries WHERE number = 1", Finding("MLB", "'MLB'")),
        ("SELECT NULL", Finding(error="the query gives NULL")),
        ("SELECT avg(number) FROM entries WHERE number > 9", Finding(error="the query gives NULL")),
        ("SELECT number FROM entries WHERE number > 9", Finding(error="the query gives no row")),
        ("SELECT number FROM entries", Finding(error="the query gives more than one value")),
        ("SELECT 1, 2", Finding(error="the query gives more than one value")),
        ("SELECT x'00'", Finding(error="the query gives b'\\x00', which is neither a number nor a text")),
        ("SELEC 1", Finding(error='SQLite: near "SELEC": syntax error')),
        ("SELECT * FROM nowhere", Finding(error="SQLite: no such table: nowhere")),
        ("DELETE FROM entries", Finding(error="SQLite: not authorized")),
        ("PRAGMA user_version", Finding(error="SQLite: not authorized")),
    ],
)
def test_a_query_gives_one_value_or_an_error(query, finding, find, rows):
    assert finding == find(Subject.SQL, query=query)


@pytest.mark.parametrize("where", ["nowhere = 1", "sport = :sport", "number IN (DELETE FROM entries)"])
def test_a_wrong_condition_is_an_error(where, find, rows):
    assert find(Subject.COUNT, table="entries", where=where).error.startswith("SQLite: ")


ENDLESS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"


@pytest.mark.parametrize(
    ("subject", "more"),
    [(Subject.SQL, {"query": ENDLESS}), (Subject.COUNT, {"table": "entries", "where": f"({ENDLESS}) > 1"})],
)
def test_what_takes_too_long_is_ended(subject, more, find, rows):
    assert Finding(error="no answer within 0.1 s") == find(subject, timeout_s=0.1, **more)


def test_the_database_answers_on_a_new_connection(find):
    found = find(Subject.DATABASE)

    assert "answers" == found.value
    assert found.shown.startswith("answers in ")


def no_more_connections():
    raise StepFailed(Problem("too many connections"))


def test_a_database_that_cannot_be_opened_is_the_reason_for_everything(database):
    asked = {
        subject: Criterion("it", "c", subject, ANY, table="t", column="c", values=("a",), classes=(("t", "a:B"),))
        for subject in Subject
    }
    with sight(no_more_connections, Clock()) as seen:
        found = {subject: look(seen, asked[subject]) for subject in asked.keys() - {Subject.HTTP, Subject.IMPORT}}
    with sight(lambda: None, Clock()) as seen:
        missing = {subject: look(seen, asked[subject]) for subject in found}

    assert Finding("too many connections") == found.pop(Subject.DATABASE)
    assert {Finding(error="too many connections")} == set(found.values())
    assert Finding(NO_DATABASE) == missing.pop(Subject.DATABASE)
    assert {Finding(error=NO_DATABASE)} == set(missing.values())


# HTTP


@contextmanager
def answering(status, delay_s=0.0):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(delay_s)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health?token=hunter2"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "value"), [(200, "answers"), (204, "answers"), (404, "HTTP 404"), (503, "HTTP 503")]
)
def test_an_address_answers_or_says_what_it_answered(status, value, find):
    with answering(status) as url:
        found = find(Subject.HTTP, url=url)

    assert (value, None) == (found.value, found.error)
    assert "hunter2" not in str(found)


def test_the_stand_in_answers_where_there_is_no_address(find):
    found = find(Subject.HTTP)

    assert "answers" == found.value
    assert found.shown.endswith("(the stand-in)")


def test_an_address_that_does_not_answer_says_so_in_time(find):
    with answering(200, delay_s=0.5) as url:
        slow = find(Subject.HTTP, url=url, timeout_s=0.1)
    refused = find(Subject.HTTP, url=url)

    assert Finding("no answer within 0.1 s") == slow
    assert Finding("connection refused") == refused


# Python classes

MODELS = """
    from dataclasses import dataclass
    from typing import NamedTuple, ClassVar

    @dataclass
    class Entry:
        sport: str
        until: str
        data: str
        number: int
        kind: ClassVar[str] = "no field"

    class EntryTuple(NamedTuple):
        sport: str
        until: str
        data: str
        number: int

    @dataclass
    class Outdated:
        sport: str
        until: str
        colour: str
        number: int

    class Plain:
        sport = until = data = number = 1

    plain = Plain()
"""
ALCHEMY = """
    from sqlalchemy import Column, ForeignKey, Integer, String
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

    class Base(DeclarativeBase):
        pass

    class Entry(Base):
        __tablename__ = "entries"
        sport: Mapped[str] = mapped_column(primary_key=True)
        until: Mapped[str]
        content: Mapped[str] = mapped_column("data")
        number: Mapped[int]

    class Outdated(Base):
        __tablename__ = "old"
        sport = Column(String, primary_key=True)
        until = Column(String)
"""
HARMFUL = {
    "raises": "raise RuntimeError('cannot reach postgresql://me:hunter2@db/x')",
    "exits": "raise SystemExit(0)",
    "vanishes": "import os; os._exit(0)",
    "is_killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "import time; time.sleep(60)",
    "loops": "while True: pass",
    "misspelt": "import json_",
    "broken": "class",
    "nothing": "",
    "value": "Model = 5",
}
NOISY = """
    import atexit, os, subprocess, sys, time
    print("{}" * 100_000)
    print("much", file=sys.stderr)
    sys.stdout.close()
    os.close(1)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    atexit.register(time.sleep, 60)
    class Model:
        pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the runner is started, with an application's modules."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    write("models", MODELS)
    write("alchemy", ALCHEMY)
    write("noisy", NOISY)
    for name, text in HARMFUL.items():
        write(name, text)
    return tmp_path


def imported(find, path, timeout_s=5.0):
    return find(Subject.IMPORT, classes=(("", path),), timeout_s=timeout_s)


def test_a_class_is_imported_from_the_folder_in_which_the_runner_was_started(find, folder):
    assert Finding("imports") == imported(find, "models:Entry")
    assert Finding("imports") == imported(find, "alchemy:Entry")
    assert Finding("imports") == imported(find, "collections.abc:Mapping")
    assert "models" not in sys.modules


def test_no_file_that_lies_there_stands_in_for_a_module(find, folder):
    (folder / "runner").mkdir()
    for wrong in ("runner/__init__.py", "fractions.py"):
        (folder / wrong).write_text("raise RuntimeError('the wrong one')")

    assert Finding("imports") == imported(find, "runner.store.rows:ProviderState")
    assert Finding("imports") == imported(find, "fractions:Fraction")


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("raises", "RuntimeError: cannot reach postgresql://***@db/x"),
        ("exits", "SystemExit: 0"),
        ("vanishes", "the import ended the process with exit code 0"),
        ("is_killed", "the import was ended by signal 9"),
        ("hangs", "the import did not end within 0.5 s"),
        ("loops", "the import did not end within 0.5 s"),
        ("misspelt", "ModuleNotFoundError: No module named 'json_'"),
        ("broken", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("nothing", "AttributeError: module 'nothing' has no attribute 'Model'"),
        ("value", "value:Model is no class"),
        ("nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_bad_import_cannot_hurt(module, why, find, folder):
    start = time.monotonic()

    assert Finding(why) == imported(find, f"{module}:Model", 0.5 if "within" in why else 5.0)
    assert time.monotonic() - start < 5


def test_what_an_import_says_starts_and_leaves_for_the_end_does_not_matter(find, folder, capfd):
    start = time.monotonic()

    assert Finding("imports") == imported(find, "noisy:Model")
    assert ("", "") == capfd.readouterr()
    assert time.monotonic() - start < 5


def test_nothing_that_an_import_started_is_left(find, folder):
    (folder / "starts.py").write_text(
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(p.pid))\n"
        "class Model: pass\n"
    )
    imported(find, "starts:Model")
    state = Path("/proc", (folder / "pid").read_text(), "stat")

    deadline = time.monotonic() + 5
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("path", ["models:Entry", "models:EntryTuple", "alchemy:Entry"])
def test_the_fields_of_a_class_are_the_columns_of_its_table(path, find, rows, folder):
    assert Finding(0, "0") == find(Subject.FIELDS, classes=(("entries", path),))


def test_columns_and_fields_without_each_other_are_named(find, rows, folder):
    assert Finding(2, "Outdated has no data; entries has no colour") == find(
        Subject.FIELDS, classes=(("entries", "models:Outdated"),)
    )
    assert Finding(2, "Outdated has no data; Outdated has no number") == find(
        Subject.FIELDS, classes=(("entries", "alchemy:Outdated"),)
    )


@pytest.mark.parametrize(
    ("table", "path", "why"),
    [
        (
            "entries",
            "models:Plain",
            "models:Plain has no fields: it is neither an SQLAlchemy model, a dataclass nor a NamedTuple",
        ),
        ("entries", "models:plain", "models:plain has no fields: models:plain is no class"),
        ("entries", "misspelt:Model", "misspelt:Model has no fields: ModuleNotFoundError: No module named 'json_'"),
        ("entries", "vanishes:Model", "the import ended the process with exit code 0"),
        ("entrys", "models:Entry", "there is no table entrys"),
    ],
)
def test_fields_that_cannot_be_known_are_an_error(table, path, why, find, rows, folder):
    assert Finding(error=why) == find(
        Subject.FIELDS, classes=(("provider_states", "runner.store.rows:ProviderState"), (table, path))
    )


def test_what_is_looked_at_in_one_moment_is_of_one_moment(rows, tmp_path):
    count = Criterion("it", "c", Subject.COUNT, ANY, table="entries")
    table = Criterion("it", "c", Subject.TABLE, IMPLIED[Subject.TABLE], table="later")
    forbidden = Criterion("it", "c", Subject.SQL, ANY, query="BEGIN")

    with sight(lambda: SqliteBackend(tmp_path / "rollout.db", read_only=True), Clock()) as seen:
        with seen.one_moment():
            rows.execute("DELETE FROM entries WHERE sport = 'MLB'")
            rows.execute("CREATE TABLE later (n)")

            assert (Finding(3), Finding("is not there")) == (look(seen, count), look(seen, table))
            assert "not authorized" in look(seen, forbidden).error

        assert (Finding(2), Finding("exists")) == (look(seen, count), look(seen, table))
