"""
Throw bytes at one of the targets for as long as wanted, guided by what code they reach: `make fuzz`.

    python tests/config/fuzz.py TARGET [libFuzzer's options, such as -max_total_time=60]

A finding is written to build/TARGET-crash-…; make it a named case of test_fuzz.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["runner", "yaml"]):
    import targets

BUILD = Path(__file__).parents[2] / "build"


def main() -> None:
    """Fuzz the target that was named."""
    name, *options = sys.argv[1:]
    corpus = BUILD / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"]
    kept = f"-artifact_prefix={BUILD}/{name}-"
    atheris.Setup([sys.argv[0], *limits, kept, *options, str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
