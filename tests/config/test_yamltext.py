"""Whatever a value is, as YAML it stands for just that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.duration import seconds
from runner.config.substitute import substituted
from runner.config.yamlfile import parse
from runner.config.yamltext import Unwritable, duration, flow, text

SIGNS = st.sampled_from(
    ["${", "$${A}", "}", "on", "no", "010", "1e3", "0o7", "~", "1:30", ": ", " #", "'", '"', "\\", "\n", "\u2028"]
)
TEXTS = st.text(max_size=20) | st.lists(SIGNS | st.text(max_size=3), max_size=6).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(written):
    document = substituted(parse(f"value: {written}\n", "some.yaml"), {}, lambda _: True)
    assert [] == document.problems
    return document.data["value"]


@given(VALUES)
def test_a_value_is_read_back_as_it_was_or_is_refused(value):
    try:
        written = flow(value)
    except Unwritable:
        return
    assert (repr(value), "\n" not in written) == (repr(read(written)), True)


@pytest.mark.parametrize("value", [10**18, float("nan"), float("inf"), "\ud800", {"k" * 2000: 1}])
def test_what_a_config_cannot_hold_is_refused(value):
    with pytest.raises(Unwritable):
        flow(value)


@given(st.integers(1, 10**9 - 1))
def test_seconds_are_read_back_as_they_were(count):
    assert count == seconds(duration(count))


def test_plain_words_stay_plain():
    assert ["draftkings", '"on"', '"a: b"'] == [text(word) for word in ("draftkings", "on", "a: b")]
