"""Whatever key of the config changes, a review tells something of it: a key that is new is asked for here."""

import json

import pytest
from edits import loaded
from scramble import NAMES, OTHERS, complete, files, has_its_form

from runner.config.shape import schema
from runner.decide.compare import compare
from runner.errors import InvalidConfig

EVERY = {
    "rollout": {
        "metrics": {
            "errors": {"kind": "probe", "reading": "errors"},
            "response_time_ms": {"kind": "probe", "reading": "response_time"},
            "cache_hit_rate_pct": {"kind": "lookup"},
            "depth": {"kind": "sql", "query": "SELECT 1, 2", "max_age": "1h", "timeout": "2s"},
        },
        "thresholds": {
            "errors": {"max": 5},
            "cache_hit_rate_pct": {"min": 70},
            "response_time_ms": {
                "min": 1,
                "max": 1000,
                "warn_min": 2,
                "warn_max": 900,
                "statistic": "p90",
                "min_samples": 2,
                "by": "provider",
                "failure_limit": 1,
                "consecutive_failure_limit": 1,
                "on_no_data": "rollback",
                "on_error": "rollback",
            },
        },
        "exit_criteria": {
            "all": {
                "table": {"kind": "table", "table": "sports", "severity": "warn", "timeout": "1s"},
                "count": {"kind": "count", "table": "sports", "where": "code > ''", "expect": "> 3"},
                "coverage": {"kind": "coverage", "table": "sports", "column": "code", "values": ["MLB", "NBA"]},
                "http": {"kind": "http", "url": "https://api.example/health"},
                "import": {"kind": "import", "class": "a.b:C"},
                "integrity": {"kind": "integrity"},
                "fields": {"kind": "fields", "classes": {"sports": "a.b:C"}},
                "sql": {"kind": "sql", "query": "SELECT 1", "expect": "in 1, 2"},
            }
        },
        "rollback": {
            "on_breach": "previous",
            "observe": "10m",
            "within": {"emergency": "1m", "standard": "2m", "gradual": "3m"},
        },
        "environments": {
            "local": {"database": "sqlite:///a.db", "speed": 2, "stand_in": "allowed", "rehearsal": "optional"},
            "other": {"database": "sqlite:///b.db", "speed": 3, "stand_in": "allowed", "rehearsal": "optional"},
        },
        "stand_in": {
            "faults": [
                {"provider": "stub", "kind": "slow", "since": "dark_mode", "delay": "2s"},
                {"provider": "*", "kind": "fail", "status": 500},
            ]
        },
    }
}
NEARLY_ALL = ["stub", "draftkings", "fanduel", "prizepicks"]
STAGE = {
    "deadline": "1h",
    "activate": {"enabled": True, "priority": "high", "providers": NEARLY_ALL, "sports": ["NBA", "MLB"]},
    "probe": {"enabled": True, "priority": "high", "providers": NEARLY_ALL, "sports": ["NBA", "MLB"]},
    "refresh": {"types": ["player"], "expiring_within": "1h"},
    "thresholds": {**EVERY["rollout"]["thresholds"], "errors": {"max": 4, "by": "provider"}},
}
PROVIDER = {
    "sports": ["NBA", "MLB"],
    "priority": "high",
    "status": "INACTIVE",
    "headers": {"Accept": "json"},
    "endpoint": "https://odds.example/1",
    "follow_redirects": "same_host",
}
WHOLE = {"headers", "classes", "values", "sports", "providers", "types", "capabilities", "data"}
"""Keys whose value is one thing, though it is a list or a mapping."""
LISTS = {("providers",), ("types",)}
"""The same keys at the top of a file, where they hold the things themselves."""
MEANS_NOTHING = {
    "rollout": {
        ("version",): "there is one so far",
        ("providers",): "the file may have another name: what it declares is compared",
        ("caches",): "the file may have another name: what it declares is compared",
        ("migrations",): "the folder may have another name: what it holds is compared",
        ("metrics", "*", "kind"): "no kind has the same keys as another: see the table of changes",
    },
    "providers": {("version",): "there is one so far"},
    "caches": {("version",): "there is one so far"},
}
NOTHING = object()
VALUES = {
    "database": ["sqlite:///other.db"],
    "sports": [["NBA"], ["NBA", "MLB", "NFL"], ["NFL", "MLB", "NBA", "NHL", "WNBA"]],
    "providers": [["stub"], ["stub", "fanduel"]],
    "types": [["factor"], ["player", "factor"]],
    "since": ["shadow_mode"],
    "kind": ["slow", "fail", "hang", "database"],
    "by": [NOTHING],
    "rationale_type": ["CACHE_OTHER"],
    "capabilities": [{"props": 1}],
    "data": [None, {"props": 1}],
    "class": ["a.b:D"],
    "expect": ["> 4", "< 3", "in 1, 3", "== 1"],
    "on_no_data": ["hold"],
    "url": ["https://api.example/other", "", "http://api.example/health"],
    "endpoint": ["https://odds.example/2", "", "http://odds.example/1"],
    "confidence": [0.1, 1],
    "provider": ["fanduel", "draftkings"],
    "status": ["ACTIVE", "MAINTENANCE", "ERROR", 400],
    "table": ["providers"],
    "values": [["MLB"], ["MLB", "NBA", "NFL"], ["NFL", "NHL"]],
}


def everything():
    """Return a config that sets every key there is."""
    data = complete()
    data["rollout"] = {**data["rollout"], **json.loads(json.dumps(EVERY["rollout"]))}
    data["rollout"]["stages"][2].update(json.loads(json.dumps(STAGE)))
    data["providers"]["providers"][1].update(json.loads(json.dumps(PROVIDER)))
    data["providers"]["providers"][3]["priority"] = "high"
    return data


def keys(name):
    """Return every key of the schema called *name* that holds a value: its path, with * for a name, [] for an item."""
    whole = schema(name)
    found = set()

    def walk(node, path):
        node = {**whole["$defs"].get(node.get("$ref", "").rpartition("/")[2], {}), **node}
        parts = (node, *node.get("oneOf", ()))
        below = [pair for part in parts for pair in part.get("properties", {}).items()]
        below += [("*", part["additionalProperties"]) for part in parts if part.get("additionalProperties")]
        below += [("[]", part["items"]) for part in parts if "items" in part]
        for key, value in below:
            walk(value, (*path, key))
        if path and (not below or is_whole(path)):
            found.add(path)

    walk(whole, ())
    return {path for path in found if not any(is_whole(path[:end]) for end in range(1, len(path)))}


def is_whole(path):
    return path[-1] in WHOLE and path not in LISTS


def places(node, known, path=(), form=()):
    """Yield the path of every value in *node*, and which of the *known* keys it is."""
    if form in known:
        yield path, form
        return
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        step = key if any(each[: len(form) + 1] == (*form, key) for each in known) else "*"
        yield from places(value, known, (*path, key), (*form, "[]" if isinstance(node, list) else step))


def with_value(data, name, path, value):
    again = json.loads(json.dumps(data))
    parent = again[name]
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    if value is NOTHING:
        del parent[path[-1]]
    return again


def value_at(node, path):
    for key in path:
        node = node[key]
    return node


def others(key, value):
    """Return what may stand there instead; NOTHING where there is no other."""
    found = [*VALUES.get(key, ()), *OTHERS.get(key, ())]
    if isinstance(value, bool):
        found.append(not value)
    elif isinstance(value, int | float):
        found += [value + 1, value * 3]
    elif isinstance(value, str):
        found += ["7m", "20m", f"{value}_2", f"{value} + 1"]
    elif isinstance(value, dict):
        found += [{**value, "more": "a.b:C"}, dict([*value.items()][1:])]
    return [other for other in found if other != value]


def rollout(data):
    if not has_its_form(data):
        return None
    try:
        return loaded.__wrapped__(files(data)).rollout
    except InvalidConfig:
        return None


CASES = [(name, form) for name in NAMES for form in sorted(keys(name) - MEANS_NOTHING[name].keys())]


@pytest.mark.parametrize(("name", "form"), CASES, ids=lambda part: part if isinstance(part, str) else ".".join(part))
def test_every_key_that_changes_is_told(name, form):
    data = everything()
    old = rollout(data)
    taken = 0
    for path in [path for path, each in places(data[name], keys(name)) if each == form]:
        for other in others(form[-1], value_at(data[name], path)):
            new = rollout(with_value(data, name, path, other))
            if new is not None:
                taken += 1
                assert compare(old, new), f"{path}: {value_at(data[name], path)} -> {other} is not told"
        if taken:
            return
    pytest.fail("set it in everything(), and what else it may be in VALUES")
