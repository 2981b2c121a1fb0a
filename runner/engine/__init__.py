"""The one loop that applies, resumes and rolls back. Does not know how anything is shown."""

from runner.engine.loop import Engine, Outcome

__all__ = ["Engine", "Outcome"]
