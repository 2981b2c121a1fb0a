"""
Throw bytes at one of the targets for as long as wanted, guided by what code they reach: `make fuzz`.

    python tests/config/fuzz.py TARGET [libFuzzer's options, such as -max_total_time=60]

A finding is written to crash-…; make it a named case of test_fuzz.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["runner", "yaml"]):
    import targets


def main() -> None:
    """Fuzz the target that was named."""
    name, *options = sys.argv[1:]
    corpus = Path(tempfile.mkdtemp(prefix=f"runner-corpus-{name}-"))
    for number, seed in enumerate(targets.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
