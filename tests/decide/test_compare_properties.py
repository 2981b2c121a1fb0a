"""What holds of any two configs: order and form are no change, and what changed one way changed back the other way."""

import json
from collections import Counter
from random import Random

from edits import loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from scramble import changed, complete, files, has_its_form, shuffled, written

from runner.decide.compare import PARTS, compare
from runner.decide.rules import BY_CODE
from runner.errors import InvalidConfig

fresh = loaded.__wrapped__
RANDOM = st.integers(0, 2**32).map(Random)
WITHOUT_A_WAY_BACK = {"cache-moved", "ttl-shortened", "ttl-lengthened", "migration-renumbered"}
"""Of these the path holds a name that the change itself changes."""


def rollout(data):
    return fresh(files(data)).rollout


def mutated(random, data=None):
    """A valid config some random edits away from *data*."""
    data = data or complete()
    for _ in range(random.randint(1, 4)):
        before = json.dumps(data)
        changed(data, random)
        if not _is_valid(data):
            data = json.loads(before)
    return data


def _is_valid(data):
    if not has_its_form(data):
        return False
    try:
        rollout(data)
    except InvalidConfig:
        return False
    return True


@given(random=RANDOM)
@settings(max_examples=40)
def test_another_order_is_no_change(random):
    data = mutated(random)
    again = {name: shuffled(part, random) for name, part in data.items()}

    assert [] == compare(rollout(data), rollout(again))


@given(random=RANDOM)
@settings(max_examples=40)
def test_another_form_is_no_change(random):
    data = complete()
    text = tuple((f"config/{name}.yaml", written(part, random)) for name, part in data.items())

    assert [] == compare(rollout(data), fresh((*text, *files(data)[3:])).rollout)


def test_the_order_of_stages_is_a_change():
    data = complete()
    stages = data["rollout"]["stages"]
    stages.insert(2, {**stages[1], "name": "again"})
    other = json.loads(json.dumps(data))
    other["rollout"]["stages"][1:3] = reversed(other["rollout"]["stages"][1:3])

    assert ["stages-reordered"] == [change.code for change in compare(rollout(data), rollout(other))]


def ungrouped(old, new):
    return [change for part in PARTS for change in part(old, new)]


def seen(change, renamed=None):
    """What has to be the same, but for its direction, in the same change the other way round."""
    path = change.path
    for new, old in (renamed or {}).items():
        path = ".".join(old if part == new else part for part in path.split("."))
    names = sorted((renamed or {}).get(name, name) for name in change.who.names) if change.who else []
    values = [
        sorted(value) if change.code == "cache-keys-renamed" else value for value in (change.before, change.after)
    ]
    values = tuple(json.dumps(value, sort_keys=True) for value in values)
    return "" if change.code in WITHOUT_A_WAY_BACK or "renamed" in change.code else (path, tuple(names)), values


@given(random=RANDOM)
@settings(max_examples=40)
def test_what_changed_one_way_changed_back_the_other_way(random):
    first, second = rollout(mutated(random)), rollout(mutated(random))
    there, back = ungrouped(first, second), ungrouped(second, first)
    renamed = {
        each.after: each.before for each in there if each.code.endswith("-renamed") and isinstance(each.after, str)
    }
    ways = Counter(seen(each, renamed) for each in there)
    returns = Counter((path, (after, before)) for path, (before, after) in map(seen, back))

    assert ways == returns
    codes = {}
    for change in back:
        codes.setdefault((seen(change)[0], seen(change)[1][::-1]), set()).add(change.code)
    for change in there:
        rule = BY_CODE[change.code]
        partners = codes[seen(change, renamed)]
        assert any(
            other == (rule.opposite or rule.code) or BY_CODE[other].opposite == rule.code for other in partners
        ), (change, partners)


@given(random=RANDOM)
@settings(max_examples=40)
def test_every_change_can_be_told(random):
    data = mutated(random)
    old, new = rollout(data), rollout(mutated(random, json.loads(json.dumps(data))))

    assert [] == compare(new, new)
    for change in compare(old, new):
        assert change.what.isprintable()
        assert not any(word in change.what for word in ("None", "True", "False", "  "))
        json.dumps([change.before, change.after])


def test_random_edits_change_something():
    """The properties above prove something only where the edits are taken and change what is declared."""
    found = Counter()
    for seed in range(40):
        found.update(change.code for change in compare(rollout(complete()), rollout(mutated(Random(seed)))))  # noqa: S311  to be the same again

    assert len(found) > 25, found
