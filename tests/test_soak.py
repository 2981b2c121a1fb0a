"""A long stage, shortened: what must not grow with the ticks does not. `make soak` runs the long ones."""

from ground import FakeClock

from bench import soak

TICKS = 2_000


def test_memory_open_files_and_the_cost_of_a_tick_stay_what_they_are_and_the_ledger_grows_in_a_line(tmp_path):
    path = soak.config(tmp_path, TICKS, activate="{providers: [stub]}")

    readings = soak.run_ahead(path, FakeClock(), TICKS)

    assert TICKS == readings[-1].ticks
    assert [] == soak.problems(readings), soak.summary(readings)
