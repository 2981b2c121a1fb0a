"""The kinds of step: each can do itself and undo itself. Knows nothing of the loop that calls it."""
