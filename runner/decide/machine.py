"""
The states of a run and the lawful moves between them: one table, and a move that is not in it is a bug.

Who acts on a state is the engine's business.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run stands. It is stored with the run."""

    RUNNING = "running"
    HOLDING = "holding"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    STUCK = "stuck"

    @property
    def is_final(self) -> bool:
        """Whether the run is over; from every other state a command leads on."""
        return self in {State.COMPLETED, State.ROLLED_BACK, State.ABORTED}

    @property
    def goes_back(self) -> bool:
        """Whether the run takes stages back, or has to; it goes forward no more."""
        return self in {State.ROLLING_BACK, State.STUCK}


class Signal(StrEnum):
    """What can happen to a run."""

    DATA_MISSING = "data_missing"
    STAGE_PASSED = "stage_passed"
    BREACHED = "breached"
    TURNED_BACK = "turned_back"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    TARGET_REACHED = "target_reached"
    RETRIED = "retried"
    ABORTED = "aborted"


NEXT: dict[tuple[State, Signal], State] = {
    (State.RUNNING, Signal.STAGE_PASSED): State.RUNNING,
    (State.RUNNING, Signal.DATA_MISSING): State.HOLDING,
    (State.RUNNING, Signal.BREACHED): State.ROLLING_BACK,
    (State.RUNNING, Signal.TURNED_BACK): State.ROLLING_BACK,
    (State.RUNNING, Signal.TARGET_REACHED): State.COMPLETED,
    (State.HOLDING, Signal.STAGE_PASSED): State.RUNNING,
    (State.HOLDING, Signal.BREACHED): State.ROLLING_BACK,
    (State.HOLDING, Signal.TURNED_BACK): State.ROLLING_BACK,
    (State.ROLLING_BACK, Signal.UNDONE): State.ROLLED_BACK,
    (State.ROLLING_BACK, Signal.TARGET_REACHED): State.COMPLETED,
    (State.ROLLING_BACK, Signal.UNDO_FAILED): State.STUCK,
    (State.ROLLING_BACK, Signal.ABORTED): State.ABORTED,
    (State.STUCK, Signal.RETRIED): State.ROLLING_BACK,
    (State.STUCK, Signal.ABORTED): State.ABORTED,
}


def after(state: State, signal: Signal) -> State:
    """Return the state that follows; ValueError for a move that is not in the table."""
    try:
        return NEXT[state, signal]
    except KeyError:
        raise ValueError(f"a run that is {state} cannot be {signal}") from None
