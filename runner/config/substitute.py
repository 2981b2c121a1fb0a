"""Put environment variables into a document: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.config.document import replaced
from runner.config.scalars import Ambiguous, resolve
from runner.config.secret import HIDDEN, is_secret, variable
from runner.config.wording import plain
from runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.config.document import Document, Path, Reference

_PLACE = re.compile(r"\$(?P<literal>\$\{)|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)

_NO_UNICODE = re.compile("[\ud800-\udfff]")
MOST_FILLED_MIB = 64
"""What variables may put into one file."""


UNKNOWN = {
    "database": "sqlite:///not-known.db",
    "endpoint": "http://not-known.invalid/",
    "url": "http://not-known.invalid/",
}
"""What stands for an address whose variable is not set, where only its place matters."""


class Unset(Exception):
    """A `${...}` that nothing can be put in for. The text says why; `fix` what to do."""

    def __init__(self, why: str, fix: str, *, is_missing: bool = False) -> None:
        super().__init__(why)
        self.fix = fix
        self.is_missing = is_missing


def substituted(
    document: Document, environ: Mapping[str, str], wanted: Callable[[Path], bool], *, secrets_known: bool = True
) -> Document:
    """
    Return *document* with the values of *environ* put in; where *wanted* says no, the text stays as it is.

    What stood unquoted is resolved again, so `speed: ${SPEED:-120}` is a number. Only what changes is copied.
    No message shows a value from the environment. Where *secrets_known* says no, an address or a header whose variable
    is not set is no problem: something of its form stands for it.
    """
    changed = document.copy()
    values: dict[Path, Any] = {}
    room = MOST_FILLED_MIB << 20
    for path, reference in document.references.items():
        if wanted(path):
            try:
                values[path], size = _value(changed, path, reference, environ, room)
            except Unset as error:
                stands_for = None if secrets_known or not error.is_missing else _stands_for(path)
                if stands_for is None:
                    _note(changed, path, reference, error)
                values[path], size = stands_for, 0
            room -= size
    changed.data = replaced(document.data, values)
    return changed


def filled(text: str, environ: Mapping[str, str], room: int = MOST_FILLED_MIB << 20) -> str:
    """Return *text* with every `${...}` replaced; Unset where that cannot be, or has more than *room* characters."""
    parts, size, end = [], 0, 0
    for place in _PLACE.finditer(text):
        parts += [text[end : place.start()], _replacement(place, environ)]
        size += len(parts[-1])
        end = place.end()
        if size > room:
            raise Unset(f"grows to more than {MOST_FILLED_MIB} MiB", "use fewer or shorter variables")
    return "".join((*parts, text[end:]))


def _replacement(place: re.Match[str], environ: Mapping[str, str]) -> str:
    if place["literal"]:
        return "${"
    if not place["end"]:
        raise Unset("has a ${ that is not closed", "close it, or write $${ for a literal ${")
    inside = _INSIDE.fullmatch(place["inside"])
    if inside is None:
        raise Unset("has a ${} without a variable's name in it", "write ${NAME} or ${NAME:-default}")
    name, default = inside["name"], inside["default"]
    value = environ.get(name)
    if default is not None:
        value = value or default
    if value is None:
        raise Unset(
            f"needs the environment variable {plain(name)}, which is not set", f"set {plain(name)}", is_missing=True
        )
    if _NO_UNICODE.search(value):
        raise Unset(
            f"gets bytes from the environment variable {plain(name)} that are no UTF-8", f"set {plain(name)} to text"
        )
    return value


def _value(
    document: Document, path: Path, reference: Reference, environ: Mapping[str, str], room: int
) -> tuple[Any, int]:
    """Return what *reference* stands for, and how much of *room* it takes; what cannot be read is noted, and None."""
    text = filled(reference.text, environ, room)
    try:
        return resolve(text) if reference.unquoted and text else text, len(text)
    except Ambiguous as error:
        _note(document, path, reference, error)
        return None, 0


def _stands_for(path: Path) -> str | None:
    """Return what stands for a secret at *path* that is not known; None where there is none."""
    return UNKNOWN.get(str(path[-1]), "not known") if is_secret(path) else None


def _note(document: Document, path: Path, reference: Reference, error: Unset | Ambiguous) -> None:
    shown = (variable(reference.text) or HIDDEN) if is_secret(path) else plain(reference.text)
    document.problems.append(Problem(f"{shown} {error}", document.where(path), error.fix))
    document.broken.add(path)
