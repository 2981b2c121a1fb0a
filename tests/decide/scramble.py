"""The bundled rollout as plain data: put in another order, written in another form, or changed at random."""

from __future__ import annotations

import json
import re
from functools import cache

import jsonschema_rs
import yaml
from edits import BUNDLED, FILES

from runner.config.duration import PATTERN, UNITS_S, seconds
from runner.config.shape import schema

NAMES = ("rollout", "providers", "caches")
DATA = {name: yaml.safe_load(FILES[f"config/{name}.yaml"]) for name in NAMES}
WITHOUT_ORDER = {"providers", "entries", "lookups", "values", "sports", "types", "faults"}
"""Lists whose items stand in no order, by their key. That of the stages is one, and so are lists in data."""
AS_IT_IS = {"capabilities", "data"}
"""Keys below which everything is data of the application's own: numbers and lists mean what they are."""
OTHERS = {
    "mode": ["observe", "shadow", "active"],
    "priority": ["high", "normal", "low"],
    "status": ["ACTIVE", "INACTIVE", "ERROR", "MAINTENANCE"],
    "severity": ["fail", "warn"],
    "stand_in": ["allowed", "refused"],
    "rehearsal": ["required", "optional"],
    "on_breach": ["previous", "disabled"],
    "reading": ["errors", "error_rate", "response_time"],
    "statistic": ["sum", "mean", "last", "min", "max", "p50", "p99"],
    "on_error": ["hold", "rollback"],
    "risk": ["safe", "caution", "dangerous", "blocked"],
    "expect": [">= 24", "> 24", "== 24", "<= 3", "!= 0", "< 100"],
    "activate": [
        "all",
        {"enabled": True},
        {"priority": "high"},
        {"providers": ["stub", "fanduel"]},
        {"sports": ["NBA"]},
    ],
    "probe": ["all", {"enabled": True}, {"providers": ["fanduel", "stub"]}],
    "refresh": ["all", {"types": ["player", "factor"]}, {"expiring_within": "2h"}],
    "follow_redirects": ["same_host", "any"],
}
MORE = {
    "rollback": {"observe": "10m", "within": {"standard": "1m"}},
    "snapshots": {"keep": 3, "before_run": True, "folder": "copies"},
    "ledger": {"keep_details": "30d"},
    "probe": {"timeout": "3s", "concurrency": 9, "record_live_columns": False},
    "stand_in": {"faults": [{"provider": "stub", "kind": "fail"}, {"provider": "*", "kind": "slow"}]},
    "review": {"risks": {"gate-added": {"risk": "caution", "reason": "look twice"}}},
}
"""Keys that the bundled rollout leaves out."""


def files(data, sql=()):
    """Return *data* of the three files, in JSON, which is YAML, with the migrations."""
    written = tuple((f"config/{name}.yaml", json.dumps(data[name])) for name in NAMES)
    return (*written, *(sql or (file for file in BUNDLED if file[0].startswith("sql/"))))


def complete():
    """Return the bundled rollout with the keys that it leaves out."""
    data = json.loads(json.dumps(DATA))
    data["rollout"] = {**data["rollout"], **json.loads(json.dumps(MORE))}
    return data


def shuffled(node, random, key=""):
    """Return *node* with everything in another order whose order means nothing."""
    if isinstance(node, dict):
        keys = [*node]
        random.shuffle(keys)
        return {
            each: node[each] if each in AS_IT_IS and random.random() < 0.5 else shuffled(node[each], random, each)
            for each in keys
        }
    if isinstance(node, list):
        items = [shuffled(item, random) for item in node]
        if key in WITHOUT_ORDER:
            random.shuffle(items)
        return items
    return node


def written(node, random, depth=0, *, flow=False, as_it_is=False):
    """Return *node* as YAML: blocks and flows, quotes, comments, indentation and numbers as it happens."""
    if not isinstance(node, dict | list) or not node:
        return _scalar(node, random, as_it_is=as_it_is)
    if flow or random.random() < 0.2:
        return _flow(node, random, as_it_is=as_it_is)
    indent = "\n" + " " * depth
    if random.random() < 0.2:
        indent = f"\n{' ' * random.randint(0, 9)}# as it was{indent}"
    deeper = depth + random.randint(1, 6)
    lines = []
    pairs = node.items() if isinstance(node, dict) else ((None, item) for item in node)
    for key, value in pairs:
        text = written(value, random, deeper, as_it_is=as_it_is or key in AS_IT_IS)
        head = "-" if key is None else f"{_scalar(key, random)}:"
        lines.append(f"{head}{'' if text.startswith(chr(10)) else ' '}{text}{random.choice(['', '', '   # so'])}")
    return "".join(f"{indent}{line}" for line in lines)


def _flow(node, random, *, as_it_is):
    space = random.choice(["", " ", "  "])
    if isinstance(node, dict):
        values = (
            written(value, random, flow=True, as_it_is=as_it_is or key in AS_IT_IS) for key, value in node.items()
        )
        pairs = (f"{_scalar(key, random)}: {value}" for key, value in zip(node, values, strict=True))
        return "{" + space + f",{space}".join(pairs) + space + "}"
    return "[" + ", ".join(written(item, random, flow=True, as_it_is=as_it_is) for item in node) + "]"


def _scalar(value, random, *, as_it_is=False):
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, int) and not as_it_is:
        return random.choice([f"{value}", f"{value}.0", f"{value}.00", f"+{value}"])
    if not isinstance(value, str):
        return json.dumps(value)
    if not as_it_is and re.fullmatch(PATTERN, value):
        value = _duration(value, random)
    forms = [json.dumps(value)]
    if "'" not in value:
        forms.append(f"'{value}'")
    if re.fullmatch("[a-z][a-z_]+", value) and value not in {"true", "false", "null"}:
        forms.append(value)
    return random.choice(forms)


def _duration(text, random):
    """Return the same duration, in another way."""
    left_ms = round(seconds(text) * 1000)
    units = [unit for unit in UNITS_S if left_ms % round(UNITS_S[unit] * 1000) == 0 and left_ms >= UNITS_S[unit] * 1000]
    unit = random.choice(units)
    again = f"{left_ms // round(UNITS_S[unit] * 1000)}{unit}"
    return again if re.fullmatch(PATTERN, again) else text


def has_its_form(data):
    """Say quickly whether *data* is as the schemas ask for; the loader explains why not, and takes its time."""
    return all(_validators()[name].is_valid(data[name]) for name in NAMES)


@cache
def _validators():
    return {name: jsonschema_rs.Draft202012Validator(schema(name)) for name in NAMES}


def leaves(node, path=()):
    """Yield the path and the value of everything in *node*."""
    if path:
        yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from leaves(value, (*path, key))


def changed(data, random):
    """Change something in *data*, in place; it may be no valid config any more."""
    path, value = random.choice([each for each in leaves(data) if len(each[0]) > 1])
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    last = path[-1]
    if last in OTHERS and random.random() < 0.9:
        parent[last] = random.choice(OTHERS[last])
    elif random.random() < 0.15:
        del parent[last]
    elif isinstance(parent, list) and random.random() < 0.3:
        parent.insert(random.randint(0, len(parent)), json.loads(json.dumps(value).replace('name": "', 'name": "x')))
    else:
        parent[last] = _other(value, random)


def _other(value, random):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice([value + 1, value * 2, value * 10, value // 2])
    if isinstance(value, list):
        return value[1:]
    if isinstance(value, dict):
        return dict([*value.items()][1:])
    if re.fullmatch(PATTERN, str(value)):
        return random.choice(["10s", "1m", "5m", "10m", "30m", "2h", "1d"])
    return f"{value}{random.choice(['x', '_2', '_3'])}"
