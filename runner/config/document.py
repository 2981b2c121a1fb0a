"""One YAML file as plain data that still knows where every value stood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import Problem, Where

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Mapping

Path = tuple[str | int, ...]

NOTHING = object()
"""What the data of a file is that could not be read as YAML."""

COLUMN_BITS = 32

MOST_PROBLEMS = 100
"""So many problems of one kind are told: more would help nobody, and take their time."""


class Reference(NamedTuple):
    """A scalar that holds `${`: its text as written, and whether it stood there unquoted."""

    text: str
    unquoted: bool


class Document:
    """
    A file's data, its problems so far, and the places of both.

    `marks` holds the position of every node in document order, `line << 32 | column` counted from 0; a mapping's
    key stands right before its value. `broken` are the paths whose value is a stand-in because a problem about them
    is told already. `references` are the scalars that hold `${`.
    """

    def __init__(self, file: str, data: Any, marks: array[int]) -> None:
        self.file = file
        self.data = data
        self.marks = marks
        self.problems: list[Problem] = []
        self.broken: set[Path] = set()
        self.references: dict[Path, Reference] = {}
        self._offsets: dict[int, dict[str | int, int]] = {}

    def copy(self) -> Document:
        """Return a document with the same data, whose problems and places are its own."""
        copied = Document(self.file, self.data, self.marks)
        copied.problems, copied.broken = list(self.problems), set(self.broken)
        copied.references = self.references
        return copied

    def where(self, path: Path) -> Where:
        """Return where the value at *path* begins; the nearest one around it where there is none."""
        return self._at(self._offset(path))

    def where_key(self, path: Path) -> Where:
        """Return where the key at the end of *path* stands; an item of a list has none, and stands for itself."""
        named = bool(path) and isinstance(path[-1], str)
        return self._at(self._offset(path) - named)

    def shown(self, path: Path, value: Any) -> Any:
        """Return what a message may show of the value at *path*: as it was written, not what `${}` made of it."""
        reference = self.references.get(path)
        return value if reference is None else reference.text

    def _at(self, offset: int) -> Where:
        if offset >= len(self.marks):
            return Where(self.file)
        mark = self.marks[offset]
        return Where(self.file, (mark >> COLUMN_BITS) + 1, (mark & (1 << COLUMN_BITS) - 1) + 1)

    def _offset(self, path: Path) -> int:
        offset, node = 0, self.data
        for step in path:
            children = self._children(node, offset)
            if step not in children:
                break
            offset, node = children[step], node[step]
        return offset

    def _children(self, node: Any, offset: int) -> dict[str | int, int]:
        """Return the offsets of *node*'s children. Kept, so that many problems cost one walk."""
        if not isinstance(node, dict | list):
            return {}
        known = self._offsets.get(id(node))
        if known is None:
            known = self._offsets[id(node)] = offsets(node, offset)
        return known


def not_too_many(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield *problems*; after MOST_PROBLEMS only that there are more, and look for no others."""
    for number, problem in enumerate(problems):
        if number == MOST_PROBLEMS:
            yield Problem("there is more that is wrong", problem.where, "correct what is told above first")
            return
        yield problem


def offsets(node: dict[str, Any] | list[Any], offset: int) -> dict[str | int, int]:
    """Return the offset of every child of *node*, which has *offset* itself, in document order."""
    found: dict[str | int, int] = {}
    offset += 1
    pairs: Any = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in pairs:
        offset += isinstance(key, str)
        found[key] = offset
        offset += size(child)
    return found


def size(node: Any) -> int:
    """Count the marks of *node*: one for each value and one for each key below it."""
    count, waiting = 0, [node]
    while waiting:
        here = waiting.pop()
        count += 1
        if isinstance(here, dict):
            count += len(here)
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return count


def replaced(data: Any, values: Mapping[Path, Any]) -> Any:
    """
    Return *data* with each of *values* at its path; what is not on the way to one is shared, not copied.

    A path that leads through what is neither mapping nor list is left out.
    """
    own: dict[int, Any] = {}
    top = [data]
    for path, value in values.items():
        here: Any = top
        steps = (0, *path)
        for step in steps[:-1]:
            here = _own(here, step, own)
        if _holds_values(here):
            here[steps[-1]] = value
    return top[0]


def _own(parent: Any, step: str | int, own: dict[int, Any]) -> Any:
    """Return the child of *parent* at *step*, copied the first time it is asked for."""
    if not _holds_values(parent):
        return None
    child = parent[step]
    if id(child) not in own and _holds_values(child):
        parent[step] = child = child.copy()
        own[id(child)] = child
    return child


def _holds_values(value: Any) -> bool:
    return isinstance(value, dict | list)
