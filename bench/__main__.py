"""
Measure and print one table: `python -m bench [NAME] [--json]`. Ends with 1 where a ratio is over its limit.

`python -m bench soak` runs long, and only by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import migrations, review, runners, scale, snapshot, soak, start, ticks

if TYPE_CHECKING:
    from bench.pairs import Line

TOPICS = {
    "start": start.measure,
    "scale": scale.measure,
    "migrations": migrations.measure,
    "ticks": ticks.measure,
    "snapshot": snapshot.measure,
    "runners": runners.measure,
    "review": review.measure,
}


def main() -> int:
    """Measure what is asked for, print it, and say whether all of it is within its limits."""
    if sys.argv[1:2] == ["soak"]:
        return soak.main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure runner against a floor in the same run."
    )
    parser.add_argument("name", nargs="?", choices=TOPICS, metavar="NAME", help=f"one of {', '.join(TOPICS)}")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the lines as JSON")
    asked = parser.parse_args()
    lines: list[Line] = []
    for name in [asked.name] if asked.name else TOPICS:
        print(f"measuring {name} …", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix=f"runner-bench-{name}-") as folder:
            lines += TOPICS[name](Path(folder))
    print(_json(lines) if asked.as_json else _table(lines))
    return int(any(line.is_over for line in lines))


def _json(lines: list[Line]) -> str:
    found = [{**asdict(line), "ok": None if line.limit is None else not line.is_over} for line in lines]
    return json.dumps({"version": 1, "lines": found}, indent=2)


def _table(lines: list[Line]) -> str:
    width = max(len(line.what) for line in lines)
    head = f"{'what':<{width}}  {'ours':>12}  {'floor':>12}  {'ratio':>6}  {'limit':>5}"
    return "\n".join([head, *(text for line in lines for text in _row(line, width))])


def _row(line: Line, width: int) -> list[str]:
    limit, verdict = ("", "") if line.limit is None else (f"{line.limit:g}", "over" if line.is_over else "ok")
    ours, floor = (f"{value:.{2 if line.unit == 's' else 1}f} {line.unit:<3}" for value in (line.ours, line.floor))
    row = f"{line.what:<{width}}  {ours:>12}  {floor:>12}  {line.ratio:>6.2f}  {limit:>5}  {verdict}"
    return [row.rstrip(), *(f"  {note}" for note in line.notes)]


if __name__ == "__main__":
    sys.exit(main())
