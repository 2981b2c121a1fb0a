"""A value with its place, so that a check can read a file that is only partly valid and guess at nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.document import replaced
from runner.config.duration import seconds
from runner.config.wording import shown
from runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config.document import Document, Path
    from runner.errors import Where

ABSENT = object()
"""There is no such key."""

BROKEN = object()
"""There is a value, but a problem about it is told already."""


class Node:
    """A value of a document: where it is and what it is; ABSENT and BROKEN are values too."""

    __slots__ = ("document", "path", "value")

    def __init__(self, document: Document, path: Path, value: Any) -> None:
        self.document = document
        self.path = path
        self.value = value

    def __getitem__(self, key: Any) -> Node:
        inside: Any = BROKEN
        if isinstance(self.value, dict):
            inside = self.value.get(key, ABSENT)
        elif isinstance(self.value, list):
            inside = self.value[key]
        elif self.value is ABSENT:
            inside = ABSENT
        return Node(self.document, (*self.path, key), inside)

    @property
    def known(self) -> bool:
        """Whether there is a value, and nothing wrong with its form."""
        return self.value is not ABSENT and self.value is not BROKEN

    @property
    def sound(self) -> bool:
        """Whether there is a value, and nothing wrong with the form of anything in it."""
        return self.value is not ABSENT and not any(part is BROKEN for part in _parts(self.value))

    @property
    def seconds(self) -> float | None:
        """The duration that stands here; None where there is none."""
        return seconds(self.value) if isinstance(self.value, str) else None

    def otherwise(self, default: Any) -> Any:
        """Return the value, or *default* where there is no such key."""
        return default if self.value is ABSENT else self.value

    def each(self) -> Iterator[Node]:
        """Yield the items of a list, those that are broken left out; nothing where this is no list."""
        for number, item in enumerate(self.value if isinstance(self.value, list) else ()):
            if item is not BROKEN:
                yield Node(self.document, (*self.path, number), item)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a mapping; nothing where this is none."""
        for key in self.value if isinstance(self.value, dict) else ():
            yield key, self[key]

    def names(self, key: str) -> tuple[str, ...] | None:
        """Return what every item of a list has at *key*; None where that cannot be known for all."""
        if not isinstance(self.value, list):
            return () if self.value is ABSENT else None
        found = [item.get(key) if isinstance(item, dict) else None for item in self.value]
        names = tuple(name for name in found if isinstance(name, str))
        return names if len(names) == len(found) else None

    @property
    def shown(self) -> str:
        """What a message may show of the value: as it was written, not what `${}` made of it."""
        return shown(self.document.shown(self.path, self.value))

    @property
    def where(self) -> Where:
        """Where the value begins."""
        return self.document.where(self.path)

    def problem(self, what: str, fix: str) -> Problem:
        """Return a problem of this value."""
        return Problem(what, self.where, fix)

    def key_problem(self, what: str, fix: str) -> Problem:
        """Return a problem of the key that this value has."""
        return Problem(what, self.document.where_key(self.path), fix)


def root(document: Document) -> Node:
    """Return the whole of *document*, with BROKEN in place of everything that a problem is told about."""
    data = document.data if isinstance(document.data, dict) else BROKEN
    broken = sorted(document.broken, key=len)
    return Node(document, (), replaced(data, dict.fromkeys(broken, BROKEN)))


def doubled(nodes: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """Yield every node of known value that stands there again, with the first of the same value."""
    first: dict[Any, Node] = {}
    for node in nodes:
        if isinstance(node.value, str) and first.setdefault(node.value, node) is not node:
            yield node, first[node.value]


def _parts(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        yield here
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
