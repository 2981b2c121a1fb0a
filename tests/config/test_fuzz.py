"""Whatever stands in a file, an address or a variable is taken, or refused as one of our errors, in bounded time."""

from __future__ import annotations

import json
import os
from time import perf_counter

import pytest
import targets
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from runner.config.duration import DIGITS, UNITS_S, seconds
from runner.config.statements import split
from runner.config.substitute import filled
from runner.config.yamlfile import parse

settings.register_profile(
    "bounded",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
bounded = settings(settings.get_profile("bounded"))
many = settings(bounded, max_examples=100)


# bytes


def bytes_for(name):
    """Make up bytes for a target: seeds with pieces cut out, put in, doubled and exchanged, or anything at all."""
    pieces = st.one_of(st.binary(max_size=8), st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace")))
    hostile = st.sampled_from(
        [b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[2J", b"'", b'"', b"/*", b"--", b"${", b"&a *a"]
    )

    @st.composite
    def spoilt(draw):
        data = bytearray(draw(st.sampled_from(targets.seeds(name))))
        for _ in range(draw(st.integers(1, 4))):
            first, last = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
            last = min(last, first + draw(st.sampled_from([0, 1, 5, 100])))
            put = draw(st.one_of(st.just(b""), pieces, hostile, st.just(bytes(data[first:last]) * 2)))
            data[first:last] = put
        return bytes(data)

    return st.one_of(st.binary(max_size=64), spoilt())


@pytest.mark.parametrize("name", targets.TARGETS)
def test_whatever_the_bytes_are_only_errors_of_ours_come_of_them(name):
    @(bounded if name == "config" else many)
    @given(bytes_for(name))
    def throw(data):
        targets.TARGETS[name](data)

    throw()


FOUND = {
    "address": [b"//://[", b"//[::1]"],
    "statements": [b"\x1c", b"\xc2\xa0;", b"-- SELECT 1\nSELECT 1"],
    "migration": [b"-- migrate:up\n\x1c"],
    "plan": [
        b"{}",
        b'{"runner_plan": 1}',
        b'{"runner_plan": 1, "a": "\\ud800"}',
        b'{"runner_plan": 1, "a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"runner_plan": 1, "a": ' + b"[" * 90_000,
    ],
    "manifest": [
        b'{"version": 1, "a": "\\ud800"}',
        b'{"version": 1}',
        b'{"version": []}',
        b"[" * 90_000,
    ],
    "rehearsal": [b"[" * 90_000, b'{"checksum": 1}'],
}
"""What once ended in a traceback."""


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, found in FOUND.items() for data in found])
def test_what_once_broke_a_reader_is_refused(name, data):
    targets.TARGETS[name](data)


# structure

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "x" * 5_000,
                "${X}",
                "${X:-${Y}}",
                "${",
                "$${",
                "{sport}",
                "{engine}",
                "a\0b",
                "\x1b[31m",
                "\u202e",
            ),
            *(
                "../../../etc/passwd",
                "/dev/zero",
                "/proc/self/mem",
                "http://[",
                "http://a:99999/",
                "file:///etc/passwd",
            ),
            *("x'); DROP TABLE provider_states;--", "%s%n", "{0.__class__}", "sqlite://", "all", "*", "99999d", "0s"),
            *("9" * 400, "1e400", "-1", ".nan"),
        ]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def places(value, path=()):
    """Yield the path of everything in *value*."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value, path, new, *, gone=False):
    """Return *value* with *new*, or nothing, at *path*."""
    if not path:
        return new
    copy = value.copy()
    if gone and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = put(value[path[0]], path[1:], new, gone=gone)
    return copy


BUNDLED = {file: yaml.safe_load((targets.ROOT / file).read_text()) for file in targets.FILES if file.endswith("yaml")}


@st.composite
def spoilt_files(draw):
    """Make up a bundled file in which a few values are gone, doubled, renamed, exchanged or replaced."""
    file = draw(st.sampled_from(list(BUNDLED)))
    data = BUNDLED[file]
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(data))[1:]
        assume(known)
        path = draw(st.sampled_from(known))
        match draw(st.sampled_from(["gone", "strange", "strange", "other", "doubled", "renamed"])):
            case "gone":
                data = put(data, path, None, gone=True)
            case "strange":
                data = put(data, path, draw(STRANGE))
            case "other":
                data = put(data, path, at(data, draw(st.sampled_from(known))))
            case "doubled":
                here = at(data, path)
                data = put(data, path, here * 2 if isinstance(here, list | str) else [here, here])
            case "renamed":
                where = at(data, path[:-1])
                if isinstance(where, dict):
                    key = draw(st.text(max_size=12))
                    data = put(data, path[:-1], {key if name == path[-1] else name: v for name, v in where.items()})
    return file, data


def at(value, path):
    for step in path:
        value = value[step]
    return value


@settings(bounded, max_examples=150)
@given(spoilt_files())
def test_a_file_with_a_few_values_spoilt_is_taken_or_refused_in_words(spoilt):
    file, data = spoilt
    try:
        text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, UnicodeError):
        text = json.dumps(data)

    targets.spoilt(file, text.encode("utf-8", "replace"), {"X": "\x1b[2J", "Y": "\udcff"})


@many
@given(st.recursive(STRANGE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)))
def test_what_json_writes_is_read_as_it_was(value):
    """JSON is YAML, but for what a config refuses; every key and text is escaped there."""
    text = json.dumps({"a": value})
    document = parse(text, "f")

    assert document.problems or "NaN" in text or "Infinity" in text or json.loads(text) == document.data


# SQL

NAMES = st.sampled_from(["a", '"b;c"', "[d;'e]", "`f;--`"])
BLANKS = st.sampled_from([" ", "\n", "\t", " /* ; ' */ ", " -- ; \" '\n", "  "])
VALUES = st.sampled_from(["1", "''", "'x;y'", "'it''s'", "'-- no'", "'/*'", "x'00'", "NULL"])


@st.composite
def statements(draw):
    """Make up a statement that ends with its own `;`, in whatever quotes and comments."""
    blank, name, value = draw(BLANKS), draw(NAMES), draw(VALUES)
    simple = [
        f"INSERT INTO{blank}{name}{draw(BLANKS)}VALUES ({value});",
        f"CREATE TABLE{blank}{name} (n{draw(BLANKS)}TEXT DEFAULT {value});",
        f"SELECT{blank}{value}{draw(BLANKS)};",
        f"UPDATE {name} SET n ={blank}CASE WHEN 1 THEN {value} END;",
    ]
    inner = draw(st.lists(st.sampled_from(simple), min_size=1, max_size=3))
    body = draw(BLANKS).join(part.lstrip() for part in inner)
    temporary = draw(st.sampled_from(["", f"TEMP{blank}", f"temporary{draw(BLANKS)}"]))
    trigger = f"CREATE{blank}{temporary}TRIGGER t AFTER INSERT ON {name}{blank}BEGIN {body}{blank}END{draw(BLANKS)};"
    return draw(st.sampled_from([*simple, trigger, trigger]))


@many
@given(st.lists(statements(), max_size=6), st.data())
def test_statements_that_are_joined_are_cut_where_they_were_joined(written, data):
    blanks = [data.draw(BLANKS) for _ in written]
    text = "".join(f"{blank}{statement}" for blank, statement in zip(blanks, written, strict=True))

    assert written == [statement.sql for statement in split(text)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN " + "x;" * 200_000,
        "CREATE TRIGGER t BEGIN " + "CASE x END;" * 50_000,
        "CREATE " + "TEMP " * 100_000 + ";;;",
        "/*" * 200_000,
        "[" * 400_000,
        "'" * 400_001,
        ";" * 400_000,
        "--" * 400_000,
    ],
    ids=lambda sql: sql[:24],
)
def test_the_longest_statement_is_read_once(sql):
    begun = perf_counter()
    list(split(sql))

    assert perf_counter() - begun < 3


# durations and variables


@many
@given(st.dictionaries(st.sampled_from(list(UNITS_S)), st.integers(0, 10**9 - 1)))
def test_a_duration_is_the_sum_of_its_parts(parts):
    parts = {unit: number % 10 ** DIGITS[unit] for unit, number in parts.items()}
    assume(any(parts.values()))
    text = "".join(f"{parts[unit]}{unit}" for unit in UNITS_S if unit in parts)

    assert seconds(text) == pytest.approx(sum(number * UNITS_S[unit] for unit, number in parts.items()), abs=0.0005)


@many
@given(st.text(), st.text(max_size=20).filter(lambda text: text.isprintable()))
@example("$" * 1_000 + "{", "")
def test_text_without_variables_stays_and_one_variable_is_put_in_once(text, value):
    assume("$" not in text)

    assert text == filled(text, {})
    assert f"{text}{value}{text}" == filled(text + "${A}" + text, {"A": value})
    assert "${A}" == filled("$${A}", {"A": value})
    assert "${A}" == filled("${B}", {"A": value, "B": "${A}"}), "what is put in is not read again"


# size


def timed(what, *arguments):
    begun = perf_counter()
    found = what(*arguments)
    return found, perf_counter() - begun


MANY = 10_000
BIG = {
    "keys that stand there twice": "".join(f"k{n}: 1\nk{n}: 1\n" for n in range(MANY)),
    "numbers with a leading zero": "- 010\n" * MANY,
    "lists in lists": "[" * MANY,
    "maps in maps": "".join(" " * n + "a:\n" for n in range(400)),
    "anchors": "- &a b\n" * MANY,
    "an alias bomb": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 30)),
    "tags": "- !!python/object/apply:os.system [echo]\n" * MANY,
    "a long number": "a: " + "9" * 10**6,
    "a long fraction": "a: 0." + "9" * 10**6,
    "a long line": "a: " + "x" * 10**7,
    "a long key": "x" * 2_000 + ": 1",
    "a key that is a list": "? [a]\n: b\n" * MANY,
    "question marks": "? " * MANY,
    "quotes that are not closed": "- 'a\n" * MANY,
    "comments": "# x\n" * MANY,
    "documents": "---\n" * MANY,
    "colons": ":" * MANY,
    "too many values": "[],\n" * 2_000_000,
}


@pytest.mark.parametrize("name", BIG)
def test_a_large_file_is_read_or_refused_in_time_and_tells_no_more_than_people_read(name):
    document, took_s = timed(parse, BIG[name], "f")

    assert took_s < 10
    assert len(document.problems) <= 101


STAGE = {"mode": "observe", "duration": "1m", "interval": "1s"}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("rollout", {"stages": [{**STAGE, "name": f"s{n}"} for n in range(MANY)]}),
        ("rollout", {"stages": [{**STAGE, "name": n} for n in range(MANY)]}),
        ("rollout", {"rollback": {f"on_breach_{n}": 1 for n in range(MANY)}}),
        ("rollout", {"thresholds": {f"no_such_{n}": {"max": 1} for n in range(2_000)}}),
        ("rollout", {"metrics": {f"m{n}": {"kind": "sql", "query": "x"} for n in range(2_000)}}),
        ("providers", {"sports": [f"S{n}" for n in range(MANY)]}),
        ("providers", {"sports": ["MLB", 1] * MANY}),
        ("providers", {"providers": [{"name": f"p{n}", "sports": ["MLB"] * 2} for n in range(5_000)]}),
        ("caches", {"lookups": [{"key": f"k{n}", "times": 100_000} for n in range(MANY)]}),
        ("caches", {"lookups": [f"k k{n}" for n in range(MANY)]}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_large_config_is_refused_in_time_and_tells_no_more_than_people_read(file, change):
    file = f"config/{file}.yaml"
    content = json.dumps({**BUNDLED[file], **change}).encode()
    rollout, took_s = timed(targets.spoilt, file, content)

    assert rollout is None
    assert took_s < 20


def test_variables_cannot_blow_a_file_up():
    providers = (targets.ROOT / "config/providers.yaml").read_text()
    content = providers.replace("${STUB_URL:-}", '"' + "${BIG}" * 10_000 + '"')
    rollout, took_s = timed(targets.spoilt, "config/providers.yaml", content.encode(), {"BIG": "x" * 100_000})

    assert rollout is None
    assert took_s < 10


@pytest.mark.parametrize("value", ["\udcff", "a\udc80b"])
def test_bytes_in_the_environment_that_are_no_text_are_told(value):
    environ = {"STUB_URL": f"http://127.0.0.1/{value}"}

    assert targets.loaded(targets.ROOT / "config/rollout.yaml", environ) is None
