import time
from contextlib import closing

import pytest

from runner.config.model import Kind, Metric
from runner.measure.query import ask
from runner.samples import Sample


@pytest.fixture
def reader(backend):
    backend.execute("CREATE TABLE lags (lag_s REAL)")
    backend.execute_many("INSERT INTO lags VALUES (:lag)", [{"lag": 0.5}, {"lag": 1.5}])
    with closing(backend.reader()) as opened:
        yield opened


def answer(reader, query, seconds=5.0):
    return ask(reader, Metric("lag_s", Kind.SQL, query=query, timeout_s=seconds), time.monotonic)


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
