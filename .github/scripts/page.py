"""
Write the comment of a review, `comment.md`, from what `review.sh` left in its folder; print the action's outputs.

    python page.py FOLDER CONFIG

Output of the runner stands in blocks of code, whatever it holds.
"""
# ruff: noqa: INP001, T201  a script of the action, not a part of the package: it prints

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.report.markdown import code, fenced, marker

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 65_400
"""Characters: GitHub takes 65,536 in a comment."""
QUOTED = 8_000
"""Characters of what the runner printed."""
RISKS = ("blocked", "dangerous", "caution", "safe")


def main(folder: Path, config: str) -> None:
    """Write the page and print the outputs."""
    verdict, lines = _page(folder, config)
    text = "\n".join(lines)
    text += "\n".join(_rehearsal(folder, LARGEST - len(text)))
    (folder / "comment.md").write_text(f"{text}\n", encoding="utf-8")
    print(f"verdict={verdict}")
    print(f"review={folder / 'comment.md'}")
    counts = _counts(folder)
    for risk in RISKS:
        print(f"{risk}={counts[risk]}")


def _page(folder: Path, config: str) -> tuple[str, list[str]]:
    """Return the verdict in a word, and the page without what the rehearsal printed."""
    head, shown = marker({"new": config}), code(config)
    problems, plan, base = (_read(folder / name) for name in ("problems.txt", "plan.txt", "incomparable.txt"))
    if problems is not None:
        title = f"## ⛔ Rollout review: {shown} is not valid"
        return "invalid", [head, title, "", "Nothing was compared or rehearsed.", "", *_quoted(problems)]
    rehearsed = _rehearsed(folder)
    if base is not None:
        title = f"## 🟡 Rollout review: {shown} cannot be compared"
        return "incomparable", [head, title, *rehearsed, "", f"With {_base(folder)}:", "", *_quoted(base)]
    if plan is not None:
        title = f"## 🟡 Rollout review: {shown} is new"
        said = f"{_base(folder)} has no such file, so there is nothing to compare with. The first run would do this:"
        return "new", [head, title, *rehearsed, "", said, "", *_quoted(plan)]
    first, title, *rest = (folder / "review.md").read_text(encoding="utf-8").rstrip("\n").split("\n")
    return _review(folder)["verdict"], [first, title, *rehearsed, *rest]


def _rehearsed(folder: Path) -> Iterator[str]:
    """Yield, below the title, what came of the rehearsal."""
    said = _read(folder / "rehearsal.txt")
    if said is None:
        return
    yield ""
    if (folder / "rehearsed").exists():
        yield f"🟢 Valid, and rehearsed on a copy: {code(said.splitlines()[-1])}"
    else:
        yield "🔴 **The rehearsal failed**: what it showed stands at the end."


def _rehearsal(folder: Path, room: int) -> Iterator[str]:
    """Yield what a rehearsal that failed has printed, in *room* characters at the most."""
    said = _read(folder / "rehearsal.txt")
    if said is None or (folder / "rehearsed").exists():
        return
    lines = ["", "", "### The rehearsal", "", *_quoted(said or "It ended without a word; its log may say more.")]
    if sum(len(line) + 1 for line in lines) <= room:
        yield from lines


def _quoted(text: str) -> list[str]:
    """Return *text* as a block of code, the middle left out where it is long."""
    if len(text) > QUOTED:
        text = f"{text[: QUOTED // 2]}\n…\n{text[-QUOTED // 2 :]}"
    return fenced(text.rstrip("\n"))


def _base(folder: Path) -> str:
    return code((folder / "base").read_text().strip())


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8", errors="replace").rstrip("\n") if file.exists() else None


def _review(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "review.json").read_text(encoding="utf-8"))
    return found


def _counts(folder: Path) -> dict[str, int]:
    found: dict[str, int] = _review(folder)["counts"] if (folder / "review.json").exists() else dict.fromkeys(RISKS, 0)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
