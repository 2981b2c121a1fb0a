"""
A review as SARIF 2.1.0, with which code hosts put a mark on the lines of a pull request.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    Found = dict[str, Any]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVEL = {"blocked": "error", "dangerous": "error", "caution": "warning", "safe": "note"}


def sarif(found: Found, version: str) -> Found:
    """Return a review, or what the lint found, as a SARIF log of one run; *version* is the runner's."""
    told = found.get("changes", []) + found["findings"]
    rules: dict[str, Found] = {}
    for each in told:
        rules.setdefault(each["code"], _rule(each))
    places = {code: number for number, code in enumerate(rules)}
    driver = {"name": "runner", "version": version, "rules": list(rules.values())}
    results = [_result(each, places[each["code"]], found.get("new", "")) for each in told]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(told: Found) -> Found:
    text = told.get("why") or told["fix"]
    return {
        "id": told["code"],
        "shortDescription": {"text": told["code"].replace("-", " ")},
        "fullDescription": {"text": text},
        "defaultConfiguration": {"level": LEVEL[str(told.get("by_rule", told["risk"]))]},
    }


def _result(told: Found, rule: int, new: str) -> Found:
    file = _file(told["file"], new)
    region = {"startLine": told["line"] or 1, **({"startColumn": told["column"]} if told["column"] else {})}
    mark = "\0".join((told["code"], file, str(told.get("path", "")), told["what"]))
    return {
        "ruleId": told["code"],
        "ruleIndex": rule,
        "level": LEVEL[told["risk"]],
        "message": {"text": _sentence(told)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(file, errors="surrogateescape"), "uriBaseId": "%SRCROOT%"},
                    "region": region,
                }
            }
        ],
        "partialFingerprints": {"change/v1": hashlib.sha256(mark.encode(errors="surrogateescape")).hexdigest()},
    }


def _sentence(told: Found) -> str:
    """Return what is told as a text message, in which SARIF would read brackets as links."""
    text = f"{told['what']}. {told.get('why') or told['fix']}"
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _file(file: str, new: str) -> str:
    """Return *file* in the repository: without the revision that the new side was read from."""
    revision, colon, _ = new.partition(":")
    return PurePath(file.removeprefix(f"{revision}:") if colon else file).as_posix()
