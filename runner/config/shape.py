"""Does a file have the form that its JSON Schema asks for? Says yes in no time, and explains a no at leisure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.document import NOTHING
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from runner.config.document import Document

SCHEMAS = Path(__file__).with_name("schema")


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of the file called *name*: rollout, providers or caches."""
    parsed: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    return parsed


def check_shape(document: Document, name: str) -> None:
    """Note in *document* every problem with its form, and as broken what has one."""
    import jsonschema_rs  # noqa: PLC0415  paid at the door of load

    if document.data is NOTHING:
        return
    wanted = schema(name)
    validator = jsonschema_rs.Draft202012Validator(wanted)
    if validator.is_valid(document.data):
        return
    from runner.config.explain import explain  # noqa: PLC0415  100 ms, needed only where something is wrong

    explained = explain(document, wanted)
    document.problems.extend(explained)
    if not explained and not document.broken:
        first = next(iter(validator.iter_errors(document.data)))
        document.problems.append(Problem(f"{document.file}: {first.message}", Where(document.file)))
