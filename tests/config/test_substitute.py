import pytest

from runner.config.substitute import Unset, filled, substituted
from runner.config.yamlfile import parse

ENVIRON = {"NAME": "x", "NUMBER": "120", "EMPTY": "", "SECRET": "hunter2", "OCTAL": "0777"}


def everywhere(_path):
    return True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NAME}", "x"),
        ("a${NAME}b${NUMBER}", "axb120"),
        ("${MISSING:-d}", "d"),
        ("${EMPTY:-d}", "d"),  # as in the shell
        ("${EMPTY}", ""),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("$NAME {NAME} $", "$NAME {NAME} $"),
    ],
)
def test_variables_are_put_in(text, expected):
    assert expected == filled(text, ENVIRON)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${MISSING}", "needs the environment variable MISSING"),
        ("${NAME", "has a \\${ that is not closed"),
        ("${}", "without a variable's name"),
        ("${1X}", "without a variable's name"),
        ("${NAME-x}", "without a variable's name"),
    ],
)
def test_what_cannot_be_put_in_is_refused(text, reason):
    with pytest.raises(Unset, match=reason):
        filled(text, ENVIRON)


def test_unquoted_values_are_read_again_and_quoted_ones_stay_text():
    document = parse("a: ${NUMBER}\nb: '${NUMBER}'\nc: ${MISSING:-true}\nd: ${EMPTY}\n", "f")

    assert substituted(document, ENVIRON, everywhere).data == {"a": 120, "b": "120", "c": True, "d": ""}


def test_the_declared_data_stays_as_it_was_written():
    document = parse("a: [1, {b: '${SECRET}', c: '${SECRET}'}]\nd: {e: 1}\n", "f")

    changed = substituted(document, ENVIRON, everywhere)

    assert document.data == {"a": [1, {"b": "${SECRET}", "c": "${SECRET}"}], "d": {"e": 1}}
    assert changed.data == {"a": [1, {"b": "hunter2", "c": "hunter2"}], "d": {"e": 1}}
    assert changed.shown(("a", 1, "b"), "hunter2") == "${SECRET}"


def test_what_is_not_wanted_is_left_alone():
    document = parse("a: ${MISSING}\nb: ${NAME}\n", "f")

    changed = substituted(document, ENVIRON, lambda path: path != ("a",))

    assert changed.data == {"a": "${MISSING}", "b": "x"}
    assert changed.problems == []


def test_an_unset_variable_is_named_where_it_stands_and_its_value_never_shown():
    document = parse("a: 1\nb: [x, '${MISSING}']\nc: ${OCTAL}\n", "f")

    problems = substituted(document, ENVIRON, everywhere).problems

    assert [(str(problem.where), problem.what) for problem in problems] == [
        ("f:2:8", "${MISSING} needs the environment variable MISSING, which is not set"),
        ("f:3:4", "${OCTAL} has a leading zero: octal or decimal?"),
    ]
