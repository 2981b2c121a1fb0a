import pytest

from runner.decide.machine import NEXT, Signal, State, after

UNLAWFUL = [(state, signal) for state in State for signal in Signal if (state, signal) not in NEXT]


def reachable(start):
    """Return every state that can follow *start*, after any number of moves, *start* itself included."""
    found, new = set(), {start}
    while new:
        found |= new
        new = {to for (state, _), to in NEXT.items() if state in found} - found
    return found


def test_every_state_can_be_reached():
    assert set(State) == reachable(State.RUNNING)


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_every_state_that_is_not_final_has_a_way_out(state):
    assert {to for (at, _), to in NEXT.items() if at is state} - {state}
    assert any(to.is_final for to in reachable(state))


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_a_person_can_end_a_run_in_any_state_that_is_not_final(state):
    assert State.ABORTED in reachable(state)


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_no_way_leads_out_of_a_final_state(state):
    assert {state} == reachable(state)


def test_completed_rolled_back_and_aborted_are_final_and_stuck_is_not():
    assert {State.COMPLETED, State.ROLLED_BACK, State.ABORTED} == {state for state in State if state.is_final}


@pytest.mark.parametrize(("state", "signal"), UNLAWFUL)
def test_a_move_that_is_not_in_the_table_raises(state, signal):
    with pytest.raises(ValueError, match=f"^a run that is {state} cannot be {signal}$"):
        after(state, signal)


@pytest.mark.parametrize(
    ("signals", "end"),
    [
        (["stage_passed", "stage_passed", "target_reached"], "completed"),
        (["data_missing", "stage_passed", "target_reached"], "completed"),
        (["turned_back", "target_reached"], "completed"),
        (["breached", "undone"], "rolled_back"),
        (["data_missing", "breached", "undone"], "rolled_back"),
        (["breached", "undo_failed", "retried", "undone"], "rolled_back"),
        (["breached", "undo_failed", "retried", "undo_failed", "aborted"], "aborted"),
    ],
)
def test_a_run_goes_the_lawful_way(signals, end):
    state = State.RUNNING
    for signal in signals:
        state = after(state, Signal(signal))

    assert end == state


def test_a_breach_is_only_left_through_a_rollback():
    assert {State.ROLLING_BACK} == {to for (_, signal), to in NEXT.items() if signal is Signal.BREACHED}
    assert State.RUNNING not in reachable(State.ROLLING_BACK)


def test_every_signal_is_of_use():
    assert set(Signal) == {signal for _, signal in NEXT}
