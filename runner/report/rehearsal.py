"""What a rehearsal proved, as text."""

from __future__ import annotations

from typing import Any


def text(found: dict[str, Any], where: str) -> str:
    """Write what a rehearsal showed for people, a line for each thing that was tried."""
    copied = found["copied"]
    source = "a new database"
    if copied["size_bytes"]:
        source = f"a copy of {copied['size_bytes'] / 1e6:.1f} MB, made in {copied['seconds']:.2f} s"
    lines = [f"{found['rollout']} rehearsed for {where}, on {source}"]
    lines += [_line(proof) for proof in found["proofs"]]
    longest = found["longest_lock"]
    if longest:
        held = f"{longest['locked_s'] * 1000:.0f} ms, in {longest['kind']} {longest['name']}"
        lines.append(f"  {'longest lock':<14}{held}")
    lines.append(f"  {'no undoing':<14}{_no_way_back(found['no_way_back'])}")
    counts = f"{found['drills']} drills, {found['levels']} rollback levels and {found['restores']} restores"
    lines.append(f"{'proved' if found['passed'] else 'NOT proved; what is'}: {counts}, in {found['seconds']:.1f} s")
    return "\n".join(lines)


def _line(proof: dict[str, Any]) -> str:
    mark = "ok  " if proof["proved"] else "FAIL"
    return f"  {mark} {proof['kind']:<13} {proof['name']:<32} {proof['seconds']:6.2f} s  {proof['detail']}"


def _no_way_back(migrations: list[str]) -> str:
    if not migrations:
        return "of nothing: every step has its way back"
    return f"from migration {migrations[0]} on: only `runner restore` brings back what was there"
