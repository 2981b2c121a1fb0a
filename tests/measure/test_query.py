import time
from contextlib import closing

import pytest
from ground import NOON

from runner.config.model import Kind, Metric
from runner.measure.query import ask
from runner.samples import Sample


@pytest.fixture
def reader(backend):
    backend.execute("CREATE TABLE lags (lag_s REAL)")
    backend.execute_many("INSERT INTO lags VALUES (:lag)", [{"lag": 0.5}, {"lag": 1.5}])
    with closing(backend.reader()) as opened:
        yield opened


def answer(reader, query, seconds=5.0, max_age_s=None):
    metric = Metric("lag_s", Kind.SQL, query=query, timeout_s=seconds, max_age_s=max_age_s)
    return ask(reader, metric, NOON, time.monotonic)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("SELECT max(lag_s) FROM lags", (1.5,)),
        ("SELECT count(*) FROM lags;", (2.0,)),
        ("SELECT 1 > 0", (1.0,)),
        ("SELECT -0.5", (-0.5,)),
        ("SELECT 0", (0.0,)),  # nought is a number
        ("SELECT 9e999", (float("inf"),)),  # the gate knows what to think of it
        ("SELECT avg(lag_s) FROM lags WHERE lag_s > 9", ()),  # NULL
        ("SELECT lag_s FROM lags WHERE lag_s > 9", ()),  # no row
        ("", ()),
    ],
)
def test_a_metric_is_the_one_number_that_its_query_gives(reader, query, values):
    assert Sample("lag_s", values, len(values)) == answer(reader, query)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT lag_s FROM lags ORDER BY 1", "the query gives more than one number"),
        ("SELECT 9, 9", "the query gives more than one number"),
        ("SELECT 'much'", "the query gives 'much', which is not a number"),
        ("SELECT '5'", "the query gives '5', which is not a number"),
        ("SELECT x'00'", "the query gives b'\\x00', which is not a number"),
        ("SELECT * FROM nowhere", "SQLite: no such table: nowhere"),
        ("SELEC 1", 'SQLite: near "SELEC": syntax error'),
        ("SELECT 1; SELECT 2", "SQLite: You can only execute one statement at a time."),
        ("DELETE FROM lags", "SQLite: not authorized"),
        ("SELECT :limit", "SQLite: You did not supply a value for binding parameter :limit."),
    ],
)
def test_a_query_that_gives_no_number_is_an_error_and_never_a_value(reader, query, error):
    assert Sample("lag_s", (), 0, error=error) == answer(reader, query)


@pytest.mark.parametrize(
    ("at", "values"),
    [
        ("'2026-08-02 12:00:00'", (7.0,)),  # noon, as CURRENT_TIMESTAMP writes it
        ("'2026-08-02 11:55:00'", (7.0,)),  # just fresh enough
        ("'2026-08-02 11:54:59.9'", ()),
        ("'2026-08-02T11:58:00Z'", (7.0,)),
        ("'2026-08-02T13:58:00+02:00'", (7.0,)),
        ("'2026-08-02 12:00:03'", (7.0,)),  # clocks are not all alike
        ("'2026-08-02 14:00:00'", ()),  # local time that was taken for UTC: it would be fresh for two hours
        ("strftime('%s', '2026-08-02 11:58:00') + 0", (7.0,)),
        ("julianday('2026-08-02 12:00:00')", ()),  # read as seconds since 1970: never taken for fresh
    ],
)
def test_with_max_age_only_a_number_of_now_is_one(reader, at, values):
    sample = answer(reader, f"SELECT 7, {at}", max_age_s=300)

    assert (values, len(values), None) == (sample.values, sample.observations, sample.error)
    assert bool(values) == (sample.note is None)


def test_a_time_without_a_zone_is_utc_wherever_the_runner_is(reader, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert answer(reader, "SELECT 7, '2026-08-02 12:00:00'", max_age_s=300).values == (7.0,)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("at", "note"),
    [
        ("'2026-08-02 11:48:00'", "the newest number is of 720 s ago, max_age is 300 s"),
        ("'2026-08-02 14:00:00'", "the newest number is of 7200 s ahead, max_age is 300 s"),
    ],
)
def test_a_stale_number_is_no_data_and_says_why(reader, at, note):
    assert Sample("lag_s", (), 0, note=note) == answer(reader, f"SELECT 7, {at}", max_age_s=300)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT 7", "the query gives no time beside its number, and max_age wants one"),
        ("SELECT 7, '2026-08-02', 1", "the query gives more than one number"),
        ("SELECT 7, NULL", "the query gives None, which is not a time"),
        ("SELECT 7, 'noon'", "the query gives 'noon', which is not a time"),
        ("SELECT 7, x'00'", "the query gives b'\\x00', which is not a time"),
        ("SELECT 7, 9e999", "the query gives inf, which is not a time"),
        ("SELECT 7, 1785672000000", "the query gives 1785672000000, which is not a time"),  # milliseconds
    ],
)
def test_a_number_without_a_time_is_an_error_where_one_is_wanted(reader, query, error):
    assert Sample("lag_s", (), 0, error=error) == answer(reader, query, max_age_s=300)


@pytest.mark.parametrize("query", ["SELECT max(lag_s), NULL FROM lags WHERE 0", "SELECT lag_s, 'x' FROM lags WHERE 0"])
def test_nothing_needs_no_time(reader, query):
    assert Sample("lag_s", (), 0) == answer(reader, query, max_age_s=300)


def test_a_query_that_takes_too_long_is_ended(reader):
    start = time.monotonic()

    sample = answer(
        reader, "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c", 0.1
    )

    assert Sample("lag_s", (), 0, error="no answer within 0.1 s") == sample
    assert time.monotonic() - start < 5


def test_after_a_failure_the_next_query_is_answered(reader):
    answer(reader, "SELECT * FROM nowhere")

    assert answer(reader, "SELECT 1").values == (1.0,)


def test_a_long_text_is_cut(reader):
    assert len(answer(reader, f"SELECT '{'x' * 1000}'").error) < 120
