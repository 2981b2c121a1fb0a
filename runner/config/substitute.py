"""Put environment variables into a document: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.config.document import replaced
from runner.config.scalars import Ambiguous, resolve
from runner.config.wording import plain
from runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.config.document import Document, Path, Reference

_PLACE = re.compile(r"\$(?P<literal>\$\{)|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class Unset(Exception):
    """A `${...}` that nothing can be put in for. The text says why; `fix` what to do."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def substituted(document: Document, environ: Mapping[str, str], wanted: Callable[[Path], bool]) -> Document:
    """
    Return *document* with the values of *environ* put in; where *wanted* says no, the text stays as it is.

    What stood unquoted is resolved again, so `speed: ${SPEED:-120}` is a number. Only what changes is copied.
    No message shows a value from the environment.
    """
    changed = document.copy()
    values = {
        path: _value(changed, path, reference, environ)
        for path, reference in document.references.items()
        if wanted(path)
    }
    changed.data = replaced(document.data, values)
    return changed


def filled(text: str, environ: Mapping[str, str]) -> str:
    """Return *text* with every `${...}` replaced; Unset where that cannot be."""
    return _PLACE.sub(lambda place: _replacement(place, environ), text)


def _replacement(place: re.Match[str], environ: Mapping[str, str]) -> str:
    if place["literal"]:
        return "${"
    if not place["end"]:
        raise Unset("has a ${ that is not closed", "close it, or write $${ for a literal ${")
    inside = _INSIDE.fullmatch(place["inside"])
    if inside is None:
        raise Unset("has a ${} without a variable's name in it", "write ${NAME} or ${NAME:-default}")
    name, default = inside["name"], inside["default"]
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        raise Unset(f"needs the environment variable {plain(name)}, which is not set", f"set {plain(name)}")
    return environ[name]


def _value(document: Document, path: Path, reference: Reference, environ: Mapping[str, str]) -> Any:
    try:
        text = filled(reference.text, environ)
        return resolve(text) if reference.unquoted and text else text
    except (Unset, Ambiguous) as error:
        what = f"{plain(reference.text)} {error}"
        document.problems.append(Problem(what, document.where(path), error.fix))
        document.broken.add(path)
        return None
