import gc
from time import perf_counter

import pytest
import yaml

from runner.config.document import NOTHING
from runner.config.yamlfile import LARGEST_MIB, parse, read
from runner.errors import Where


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request, monkeypatch):
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CLoader")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-17", -17),
        ("+3", 3),
        ("0o17", 15),
        ("0xff", 255),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-0.0", -0.0),
        # what YAML 1.1 would have made something else of
        ("on", "on"),
        ("yes", "yes"),
        ("n", "n"),
        ("1:30", "1:30"),
        ("2026-08-02", "2026-08-02"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("-", "-"),
        ("'5'", "5"),
        ('"true"', "true"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(parser, text, expected):
    document = parse(f"a: {text}\n" if text != "-" else "a: '-'", "f")

    assert {"a": expected} == document.data
    assert type(expected) is type(document.data["a"])
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 010", "f:1:4: 010 has a leading zero: octal or decimal?"),
        ("a: -007", "f:1:4: -007 has a leading zero: octal or decimal?"),
        ("a: .nan", "f:1:4: .nan is not a finite number"),
        ("a: -.inf", "f:1:4: -.inf is not a finite number"),
        ("a: 1e999", "f:1:4: 1e999 is not a finite number"),
        ("a: 99999999999999999999", "f:1:4: 99999999999999999999 is too large for a 64-bit integer"),
        ("a: 0xffffffffffffffffffffff", "f:1:4: 0xffffffffffffffffffffff is too large for a 64-bit integer"),
        ("a: 1\nb: 2\na: 3", "f:3:1: the key a stands here again, and first in line 1"),
        ("a:\n  - {b: 1, c: {d: 1}, b: 2}", "f:2:23: the key b stands here again, and first in line 2"),
        ("a: &x 1", "f:1:4: &x is refused: anchors, aliases and merges expand out of sight"),
        ("a: &x {b: 1}\nc: *x", "f:1:4: &x is refused: anchors, aliases and merges expand out of sight"),
        ("a:\n  <<: {b: 1}", "f:2:3: << is refused: anchors, aliases and merges expand out of sight"),
        ("a: !!str 1", "f:1:4: the tag !!str is refused: a config is plain data"),
        ("!!python/object {a: 1}", "f:1:1: the tag !!python/object is refused: a config is plain data"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document begins here"),
        ("1: a", "f:1:1: the key 1 is not text"),
        ("a: {true: 1}", "f:1:5: the key true is not text"),
        ("? [a, b]\n: c", "f:1:3: a key is not text but a list or mapping"),
        ("a: " + "[" * 65 + "]" * 65, "f:1:67: this is nested more than 64 deep"),
        ("", "f: f is empty"),
        ("# nothing\n", "f: f is empty"),
        ("---\n", "f: f is empty"),
        ("a:\n\tb: 1", "f:2:1: a tab stands where YAML wants spaces"),
        ("a: b: c", "f:1:5: a `:` makes a key here, where none can stand"),
        ("a: @b", "f:1:4: @ cannot begin a value"),
        ("a: \x07", "f:1:4: the control character U+0007 stands here"),
    ],
)
def test_what_surprises_is_refused_with_its_place(parser, text, expected):
    document = parse(text, "f")

    assert [expected] == [f"{problem.where}: {problem.what}" for problem in document.problems]
    assert all(problem.fix for problem in document.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2\nb: 3", "the bracket opened in line 1, column 4, is not closed, or a comma is missing"),
        (
            "a: {b: ${X}}",
            "the bracket opened in line 1, column 4, ends too early: an unquoted ${} cannot stand inside it",
        ),
        ("a: 'b\n", "the quote opened in line 1, column 4, is not closed or not well formed"),
        ("a: 'b' c\ntable: 1\n", "this is not YAML: while parsing a block mapping did not find expected key"),
    ],
)
def test_what_is_not_yaml_is_explained(text, expected):
    assert [expected] == [problem.what for problem in parse(text, "f").problems]
    assert NOTHING is parse(text, "f").data


def test_depth_up_to_the_limit_is_read(parser):
    document = parse("a: " + "[" * 63 + "]" * 63, "f")

    assert document.problems == []


TEXT = """\
a: 1
b: {c: 1, c: {x: [1, 2]}, d: 3}
1: x
? [p, {q: 1}]
: {r: 1}
e:
  - x
  - {f: [1, 2]}
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), "1:1", "1:1"),
        (("a",), "1:4", "1:1"),
        (("b", "d"), "2:30", "2:27"),  # after a value that was refused
        (("e",), "7:3", "6:1"),
        (("e", 0), "7:5", "7:5"),
        (("e", 1, "f"), "8:9", "8:6"),
        (("e", 1, "f", 1), "8:13", "8:13"),
        (("e", 7), "7:3", "7:3"),  # not there: the nearest around it
    ],
)
def test_every_value_and_key_has_its_place(parser, path, value, key):
    document = parse(TEXT, "f")

    assert document.data == {"a": 1, "b": {"c": 1, "d": 3}, "e": ["x", {"f": [1, 2]}]}
    assert f"f:{value}" == str(document.where(path))
    if path[-1:] != (7,):
        assert f"f:{key}" == str(document.where_key(path))


def test_what_stands_in_for_a_refused_value_is_marked_as_broken(parser):
    document = parse("a: *x\nb: [1, 010]\nc: {d: .nan, d: .inf}", "f")

    assert document.data == {"a": None, "b": [1, None], "c": {"d": None}}
    assert {("a",), ("b", 1), ("c", "d")} == document.broken


def test_a_bomb_of_aliases_is_one_problem():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )

    assert len(parse(bomb, "f").problems) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: \xff", "f:1:4: f is not UTF-8: byte 0xff"),
        ("a: ä".encode("utf-16"), "f:1:1: f is not UTF-8: byte 0xff"),
        (b"a: 1\nb: \0", "f:2:4: f is binary: it holds a NUL"),
        (b"\x7fELF\x02\x01\x01\0", "f:1:8: f is binary: it holds a NUL"),
    ],
)
def test_a_file_that_is_not_text_is_refused(tmp_path, content, expected):
    path = tmp_path / "f"
    path.write_bytes(content)

    assert [expected] == [f"{problem.where}: {problem.what}" for problem in read(path, "f").problems]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfa: 1")

    assert read(path, "f").data == {"a": 1}


def test_what_cannot_be_opened_is_a_mistake_where_it_was_named(tmp_path):
    origin = Where("rollout.yaml", 3, 12)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate((LARGEST_MIB + 1) << 20)

    missing, folder, large = (read(tmp_path / name, "f", origin) for name in ("missing", "", "huge"))

    assert [("f does not exist", origin)] == [(problem.what, problem.where) for problem in missing.problems]
    assert [("f is a folder, not a file", origin)] == [(problem.what, problem.where) for problem in folder.problems]
    assert [("f has 65 MiB", origin)] == [(problem.what, problem.where) for problem in large.problems]


def test_the_collector_is_left_as_it_was():
    parse("a: 1", "f")
    on = gc.isenabled()
    gc.disable()
    parse("a: [", "f")
    off = gc.isenabled()
    gc.enable()

    assert (on, off) == (True, False)


def test_a_key_that_is_repeated_often_is_told_quickly():
    started = perf_counter()
    document = parse("a: 1\n" + "".join(f"k{n}: {{}}\n" for n in range(5_000)) + "a: 2\n" * 5_000, "f")

    assert len(document.problems) == 101
    assert perf_counter() - started < 5
