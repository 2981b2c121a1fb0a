"""Schema errors in our own words: what was seen, where it stands, and what to write instead."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from runner.config.document import not_too_many
from runner.config.secret import HIDDEN, is_secret
from runner.config.wording import choose, closest, listed, plain, shown
from runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.config.document import Document, Path

Error = Any
"""jsonschema's ValidationError. Its stubs say of nearly every field that it may be unset; here none is."""

_TYPES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}


def explain(document: Document, schema: dict[str, Any]) -> list[Problem]:
    """Return a problem for everything in *document* that *schema* does not allow, and note as broken what has one."""
    words = _Words(document, schema)
    found = (problem for error in _Validator(schema).iter_errors(document.data) for problem in words.problems(error))
    return list(dict.fromkeys(not_too_many(found)))


def _matches_to_the_end(_: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    """Check a pattern as ECMA does: `$` is the end, not the last line break before it."""
    if isinstance(text, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _all_different(_: Any, wanted: bool, items: Any, __: Any) -> Iterator[ValidationError]:  # noqa: FBT001  its form
    """Look at each item once, where jsonschema compares each with each."""
    if wanted and isinstance(items, list) and next(_doubles(items), None) is not None:
        yield ValidationError("has non-unique elements")


def _doubles(items: list[Any]) -> Iterator[int]:
    """Yield the places of items that stand there again."""
    seen = set()
    for number, item in enumerate(items):
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            yield number
        seen.add(text)


_Validator: Any = extend(Draft202012Validator, {"pattern": _matches_to_the_end, "uniqueItems": _all_different})  # type: ignore[no-untyped-call]


def wanted(schema: dict[str, Any]) -> str:
    """Say what *schema* allows, as the object of "write"."""
    if "title" in schema:
        return str(schema["title"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return listed(schema["enum"])
    return _TYPES.get(schema.get("type", ""), "a value") + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}" + (f", {high} at the most" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def _advice(schema: dict[str, Any]) -> str:
    examples = schema.get("examples")
    return f"write {wanted(schema)}" + (f", such as {listed(examples)}" if examples else "")


class _Words:
    """The words for the errors of one document."""

    def __init__(self, document: Document, schema: dict[str, Any]) -> None:
        self._document = document
        self._definitions = schema.get("$defs", {})

    def problems(self, error: Error, base: Path = ()) -> Iterator[Problem]:
        """Yield what *error* says. Nothing where a problem with that value, or with one around it, is told already."""
        path = (*base, *error.relative_path)
        if any(path[:length] in self._document.broken for length in range(len(path) + 1)):
            return
        if "propertyNames" in error.relative_schema_path:
            yield self._key(error, path)
        else:
            yield from _KEYWORDS.get(str(error.validator), _Words._value)(self, error, path)

    def _name(self, path: Path) -> str:
        """Return *path* as people say it: items of a list by their name where they have one."""
        parts: list[str] = []
        node = self._document.data
        for step in path:
            node = node[step]
            if isinstance(step, str):
                parts.append(f".{plain(step)}")
                continue
            name = next((node[key] for key in ("name", "key") if isinstance(node, dict) and key in node), None)
            parts.append(f".{plain(name)}" if isinstance(name, str) else f"[{step + 1}]")
        return "".join(parts).removeprefix(".") or self._document.file

    def _seen(self, path: Path, error: Error, why: str) -> str:
        if error.schema.get("writeOnly"):
            return f"{self._name(path)} is {why}"
        return f"{self._name(path)} is {shown(self._document.shown(path, error.instance))}, {why}"

    def _value(self, error: Error, path: Path, why: str | None = None) -> Iterator[Problem]:
        """Yield that a value is not what is wanted."""
        self._document.broken.add(path)
        what = self._seen(path, error, why or f"not {wanted(error.schema)}")
        yield Problem(what, self._document.where(path), _advice(error.schema))

    def _limit(self, error: Error, path: Path) -> Iterator[Problem]:
        side = {"minimum": "less than", "maximum": "more than", "exclusiveMinimum": "not above"}[str(error.validator)]
        return self._value(error, path, f"{side} {error.validator_value}")

    def _empty(self, error: Error, path: Path) -> Iterator[Problem]:
        self._document.broken.add(path)
        yield Problem(f"{self._name(path)} is empty", self._document.where(path), _advice(error.schema))

    def _choice(self, error: Error, path: Path) -> Iterator[Problem]:
        self._document.broken.add(path)
        allowed = error.schema["enum"]
        what = self._seen(path, error, f"not {error.schema.get('title', 'one of those known')}")
        yield Problem(what, self._document.where(path), choose(error.instance, allowed))

    def _unknown_keys(self, error: Error, path: Path) -> Iterator[Problem]:
        known = [key for key in error.schema["properties"] if key not in error.instance]
        for key in error.instance:
            if key in error.schema["properties"]:
                continue
            meant = closest(key, known)
            if meant is not None:
                self._document.broken.add((*path, meant))
            what = f"{self._name(path)} has an unknown key: {plain(key)}"
            fix = (
                f"did you mean {meant}?" if meant else f"remove it; known keys: {', '.join(error.schema['properties'])}"
            )
            yield Problem(what, self._document.where_key((*path, key)), fix)

    def _missing_keys(self, error: Error, path: Path) -> Iterator[Problem]:
        properties = error.schema.get("properties", {})
        unknown = [key for key in error.instance if key not in properties]
        for key in error.validator_value:
            if key in error.instance or any(closest(other, [key]) for other in unknown):
                continue
            sub = properties.get(key, {})
            sub = {**self._definitions.get(sub.get("$ref", "").rpartition("/")[2], {}), **sub}
            fix = f"add {key}: {wanted(sub)}"
            yield Problem(f"{self._name(path)} has no {key}", self._document.where(path), fix)

    def _repeated(self, error: Error, path: Path) -> Iterator[Problem]:
        for number in _doubles(error.instance):
            what = f"{self._name(path)} holds {shown(error.instance[number])} twice"
            yield Problem(what, self._document.where((*path, number)), "keep one of the two")

    def _too_many(self, error: Error, path: Path) -> Iterator[Problem]:
        self._document.broken.add(path)
        count, most = len(error.instance), error.validator_value
        what = f"{self._name(path)} has {count:,} items, more than {most:,}"
        yield Problem(what, self._document.where(path), "declare fewer")

    def _key(self, error: Error, path: Path) -> Problem:
        key = HIDDEN if is_secret(path) else shown(error.instance)  # a header that was written as one text
        what = f"{self._name(path)} has the key {key}, not {wanted(error.schema)}"
        meant = closest(error.instance, error.schema.get("enum", ()))
        fix = f"did you mean {meant}?" if meant else _advice(error.schema)
        return Problem(what, self._document.where_key((*path, error.instance)), fix)

    def _alternatives(self, error: Error, path: Path) -> Iterator[Problem]:
        """Yield the errors of the alternative that was meant; that none was, where that cannot be told."""
        branches = [list(group) for _, group in groupby(error.context or (), lambda sub: sub.relative_schema_path[0])]
        fitting = [branch for branch in branches if not any(_is_of_another_kind(sub) for sub in branch)]
        if not fitting:
            yield from self._value(error, path)
            return
        tags = [next((sub for sub in branch if _is_tag(sub)), None) for branch in fitting]
        if len(fitting) > 1 and all(tags):
            yield from self._tag(error, path, [sub for sub in tags if sub])
            return
        for sub in min(fitting, key=lambda branch: (any(map(_is_tag, branch)), len(branch))):
            yield from self.problems(sub, path)

    def _tag(self, error: Error, path: Path, tags: list[Error]) -> Iterator[Problem]:
        """Yield that the key which tells the alternatives apart (a metric's kind) is none of them, or not there."""
        self._document.broken.add(path)
        tag = tags[0]
        consts = [branch["properties"]["kind"]["const"] for branch in error.schema["oneOf"]]
        if tag.validator == "required":
            yield Problem(f"{self._name(path)} has no kind", self._document.where(path), f"add kind: {listed(consts)}")
            return
        place = (*path, *tag.relative_path)
        what = self._seen(place, tag, "not a kind that is known")
        yield Problem(what, self._document.where(place), choose(tag.instance, consts))


def _is_of_another_kind(error: Error) -> bool:
    return not error.relative_path and error.validator in {"type", "const", "enum", "pattern"}


def _is_tag(error: Error) -> bool:
    missing = error.validator == "required" and "kind" in error.validator_value and "kind" not in error.instance
    return missing or (error.validator == "const" and list(error.relative_path) == ["kind"])


_KEYWORDS: dict[str, Callable[[_Words, Error, Path], Iterator[Problem]]] = {
    "enum": _Words._choice,  # noqa: SLF001  this table is the dispatch of the class above
    "minimum": _Words._limit,  # noqa: SLF001
    "maximum": _Words._limit,  # noqa: SLF001
    "exclusiveMinimum": _Words._limit,  # noqa: SLF001
    "minItems": _Words._empty,  # noqa: SLF001
    "minLength": _Words._empty,  # noqa: SLF001
    "minProperties": _Words._empty,  # noqa: SLF001
    "maxItems": _Words._too_many,  # noqa: SLF001
    "uniqueItems": _Words._repeated,  # noqa: SLF001
    "additionalProperties": _Words._unknown_keys,  # noqa: SLF001
    "required": _Words._missing_keys,  # noqa: SLF001
    "oneOf": _Words._alternatives,  # noqa: SLF001
    "anyOf": _Words._alternatives,  # noqa: SLF001
}
