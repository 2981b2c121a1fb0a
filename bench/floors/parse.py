"""Parse every YAML file in a config folder to plain data, with no positions and no checks: `parse.py FOLDER`."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import yaml

WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def parse(text: bytes) -> Any:
    """Return *text* as plain data, built from libyaml's events with the cyclic collector off."""
    gc.disable()
    top: list[Any] = []
    stack: list[tuple[Any, list[Any]]] = []
    for event in yaml.parse(text, yaml.CSafeLoader):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            top.append(scalar(event.value) if event.implicit[0] else event.value)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            stack.append((kind, top))
            top = []
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            opened, above = stack.pop()
            above.append(dict(zip(top[::2], top[1::2], strict=True)) if opened is yaml.MappingStartEvent else top)
            top = above
    return top[0]


def scalar(text: str) -> Any:
    """Return what a plain scalar stands for."""
    if text in WORDS:
        return WORDS[text]
    if text[0] in "-+.0123456789":
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
    return text


def config(folder: Path) -> dict[str, Any]:
    """Return the plain data of each file of the config below *folder*, by its name."""
    return {path.stem: parse(path.read_bytes()) for path in sorted((folder / "config").glob("*.yaml"))}


if __name__ == "__main__":
    config(Path(sys.argv[1]))
