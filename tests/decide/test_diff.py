import pytest

from runner.decide.diff import differences


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),  # the order of keys means nothing
        ({"a": 1}, {"a": 2}, ["a: 1 -> 2"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["b: nothing -> 2"]),
        ({"a": 1, "b": 2}, {"b": 2}, ["a: 1 -> nothing"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a.b.c: 1 -> 2"]),
        ({"a": "x"}, {"a": {"b": 1}}, ["a: x -> nothing", "a.b: nothing -> 1"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a[1]: 2 -> 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a[1]: nothing -> 2"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b: 1 -> nothing", "a: nothing -> {}"]),
        ({"a": 1, "z": 1}, {"z": 2, "a": 2, "m": 2}, ["a: 1 -> 2", "z: 1 -> 2", "m: nothing -> 2"]),  # order of the old
        (
            {"stages": [{"name": "dark", "duration": "10m"}, {"name": "full", "duration": "5m"}]},
            {"stages": [{"name": "dark", "duration": "10m"}, {"name": "full", "duration": "8m"}]},
            ["stages[full].duration: 5m -> 8m"],
        ),
        (
            {"stages": [{"name": "dark", "mode": "observe"}]},
            {"stages": [{"name": "new", "mode": "shadow"}, {"name": "dark", "mode": "observe"}]},
            ["stages[new].name: nothing -> new", "stages[new].mode: nothing -> shadow"],
        ),
        (
            {"entries": [{"key": "player:a", "confidence": 0.7}]},
            {"entries": [{"key": "player:a", "confidence": 0.8}]},
            ["entries[player:a].confidence: 0.7 -> 0.8"],
        ),
    ],
)
def test_every_value_that_is_not_the_same_has_a_line(old, new, lines):
    assert lines == differences(old, new)


def test_a_hundred_thousand_things_are_compared_at_once():
    old = {"entries": [{"key": f"player:{number}", "confidence": 0.7} for number in range(100_000)]}
    new = {"entries": [*old["entries"][:-1], {"key": "player:99999", "confidence": 0.8}]}

    assert ["entries[player:99999].confidence: 0.7 -> 0.8"] == differences(old, new)


def test_things_of_one_name_are_told_apart_whatever_they_are_called():
    names = [{"name": name, "n": 1} for name in ("a #2", "a", "a")]

    assert [] == differences({"things": names}, {"things": names})
    assert ["things[a #2 #2].n: 1 -> 2"] == differences(
        {"things": names}, {"things": [*names[:2], {"name": "a", "n": 2}]}
    )
