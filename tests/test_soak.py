"""A long stage, shortened: what must not grow with the ticks does not. `make soak` runs the long ones."""

from ground import FakeClock

from bench import soak

TICKS = 2_000


def test_with_the_ticks_neither_memory_nor_open_files_nor_their_cost_grow_and_the_ledger_in_a_line(tmp_path):
    path = soak.config(tmp_path, TICKS, soak.FEW)

    readings = soak.run_ahead(path, FakeClock(), TICKS)

    assert TICKS == readings[-1].ticks
    assert [] == soak.problems(readings), soak.summary(readings)
