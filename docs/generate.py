"""
Write what is said twice from where it is said first, so that the reference cannot say what the program does not do.

docs/configuration.md is written from the JSON Schemas, docs/risk.md from the rules of reviews and of the lint, and so
are the codes that the schema of rollout.yaml allows.

    python docs/generate.py           write them
    python docs/generate.py --check   say, by exit code 1, that one of them is out of date
"""
# ruff: noqa: INP001, T201  a script of the repository, not a part of the package: it prints

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.explain import wanted
from runner.config.shape import SCHEMAS, schema
from runner.config.wording import listed
from runner.decide.lint import rules as lint
from runner.decide.rules import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.decide.risk import Rule

PAGE = Path(__file__).with_name("configuration.md")
RISKS = Path(__file__).with_name("risk.md")
SCHEMA = SCHEMAS / "rollout.schema.json"
FILES = ("rollout", "providers", "caches")

HEAD = """\
# Configuration

<!-- Written by docs/generate.py from runner/config/schema/*.json. Edit the descriptions there. -->

Three YAML files declare a rollout: `rollout.yaml` says what happens where and when, and names the other two,
`providers.yaml` and `caches.yaml`. Everything is checked before anything is touched, and every mistake is told at once,
with its line and column and what to write instead.

**YAML** is read as YAML 1.2 and as plain data. `on`, `yes`, `1:30` and dates are text. Duplicate keys, anchors,
aliases, merges, tags, several documents in a file, `010`, `.nan` and `.inf` are refused.

**Durations** are text with units, larger units first: `1500ms`, `30s`, `10m`, `1h30m`, `2d`. Whatever is a column of
whole seconds in the database (`poll_interval`, `timeout` of a provider, `ttl`) takes whole seconds only.

**Variables**: `${NAME}` is replaced by that environment variable, which must be set; `${NAME:-default}` takes the
default where it is not set or empty; `$${` is a literal `${`. What stands unquoted is read again afterwards, so
`speed: ${SPEED:-120}` is a number; what is quoted stays text. Inside `{ }` and `[ ]` a variable has to be quoted. Below
`environments` only the chosen one is filled in. No endpoint or header, and no password, reaches an error, a log or the
ledger.

**`RUNNER_STAND_IN_FAULTS`** makes the stand-in misbehave without an edit: `PROVIDER:KIND[=VALUE][@STAGE]`, separated by
commas. `KIND` is `fail` (with an HTTP status), `slow` (with a duration) or `hang`; `PROVIDER` may be `*`; with `@STAGE`
it begins at that stage. An example: `draftkings:fail@partial_active,fanduel:slow=1500ms,*:hang`.

**What a provider must answer**: a GET to its `endpoint` (with `{sport}` filled in and its `headers`), with a status
from 200 to 299, read to the end within its timeout, and 8 MiB at most. An answer that says it is JSON must be JSON,
unless it is empty. A list `props` in it, of objects with an `id`, is counted into the live columns. Failures to
connect, 429 and 5xx are tried again, `retries` times, within the same timeout; other answers are not. A redirect is a
failure: write the address it leads to. The response time is that of the attempt that succeeded, to its last byte.
Proxy variables are not used.

**Help while you type**: the first line of each bundled file, `# yaml-language-server: $schema=...`, gives an editor the
same descriptions, completion and checks. `runner init` writes the schemas beside a new config, and `runner schema --out
FOLDER` does for one that is there.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(line for name in FILES for line in section(name))])


def section(name: str) -> Iterator[str]:
    """Yield the lines that describe the file called *name*."""
    whole = schema(name)
    yield f"## {name}.yaml"
    yield ""
    yield whole["description"]
    yield ""
    yield from Outline(whole["$defs"]).keys(whole, 0)
    yield ""


class Outline:
    """The nested list of one file's keys. What several keys share is written out at the first of them."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._told: set[str] = set()

    def keys(self, node: dict[str, Any], depth: int) -> Iterator[str]:
        """Yield one line for every key of *node*, each followed by the keys below it."""
        for key, raw in node.get("properties", {}).items():
            yield from self._value(f"`{key}`", raw, depth, required=key in node.get("required", ()))

    def _value(self, name: str, raw: dict[str, Any], depth: int, *, required: bool = False) -> Iterator[str]:
        definition = raw.get("$ref", "").rpartition("/")[2]
        value = {**self._definitions.get(definition, {}), **raw}
        below = list(self._below(value, depth + 1))
        again = bool(definition and below) and definition in self._told
        self._told.add(definition)
        yield line(name, value, depth, required=required) + (" Its keys are those above." if again else "")
        if not again:
            yield from below

    def _below(self, value: dict[str, Any], depth: int) -> Iterator[str]:
        yield from self.keys(value, depth)
        if isinstance(value.get("additionalProperties"), dict):
            yield from self._value("*each name*", value["additionalProperties"], depth)
        if "items" in value:
            yield from self._below(value["items"], depth)
        for alternative in value.get("oneOf", ()):
            if "properties" in alternative:
                said = f": {alternative['description']}" if "description" in alternative else ""
                yield f"{'  ' * depth}- *{wanted(alternative)}*{said}"
                yield from self.keys(alternative, depth + 1)


def line(name: str, value: dict[str, Any], depth: int, *, required: bool) -> str:
    """Return the line of one key: what it takes, whether it must be there, its default, its description."""
    facts = [kind(value)]
    if required:
        facts.append("required")
    if "default" in value:
        facts.append(f"default `{json.dumps(value['default']).strip(chr(34))}`")
    return f"{'  ' * depth}- {name} ({', '.join(facts)}): {value['description']}"


def kind(value: dict[str, Any]) -> str:
    """Say in a few words what a value may be."""
    if "enum" in value:
        return listed(f"`{name}`" for name in value["enum"])
    return f"`{value['const']}`" if "const" in value else wanted(value)


RISKS_HEAD = """\
# Risks

<!-- Written by docs/generate.py from runner/decide/rules.py and runner/decide/lint/rules.py. Edit the rules there. -->

What `runner diff` and `runner lint` tell has a code and a risk:

- **safe**: it can be let through as it is.
- **caution**: somebody has to know of it.
- **dangerous**: it takes protection away, or can harm what is live.
- **blocked**: a run would refuse it, or fail.

A config may judge otherwise, with a reason that every review shows; [configuration.md](configuration.md) says how, at
`review.risks`. What the config before the change says counts. Of what the change itself brings, only what makes a risk
greater counts at once; the rest counts when it is merged.

```yaml
review:
  risks:
    cache-entries-removed: {risk: safe, reason: player entries come and go with the line-ups}
```
"""


def risks() -> str:
    """Return the page of all risks."""
    sections = ("Changes to a config", GROUPS, True), ("What the lint tells of migrations", lint.GROUPS, False)
    return "\n".join([RISKS_HEAD, *(line for each in sections for line in _risks(*each))])


def _risks(title: str, groups: Mapping[str, tuple[Rule, ...]], opposites: bool) -> Iterator[str]:  # noqa: FBT001
    """Yield a table for each of *groups*; with *opposites* what the same change is called the other way round."""
    yield f"## {title}"
    yield ""
    for name, rules in groups.items():
        yield f"### {name}"
        yield ""
        yield "| code | risk | why |" + (" the other way round |" if opposites else "")
        yield "|---|---|---|" + ("---|" if opposites else "")
        for rule in rules:
            back = f"`{rule.opposite}`" if rule.opposite else "the same"
            yield f"| `{rule.code}` | {rule.risk} | {rule.why} |" + (f" {back} |" if opposites else "")
        yield ""


def coded() -> str:
    """Return the schema of rollout.yaml with every code that there is."""
    whole = json.loads(SCHEMA.read_bytes())
    groups = (*GROUPS.values(), *lint.GROUPS.values())
    whole["$defs"]["risk_code"]["enum"] = sorted(rule.code for rules in groups for rule in rules)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write all of it, or with `--check` only compare; return the exit code."""
    old = 0
    for path, text in ((SCHEMA, coded), (PAGE, page), (RISKS, risks)):
        if arguments != ["--check"]:
            path.write_text(text(), "utf-8")
            continue
        current = path.exists() and path.read_text("utf-8") == text()
        print(f"{path.name} is {'up to date' if current else 'out of date: run python docs/generate.py'}")
        old |= not current
    return int(old)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
