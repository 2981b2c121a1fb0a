"""
The fence around a project: what a config names has to stand inside it, wherever links lead.

A config is reviewed, and so is what stands beside it; a path that leads elsewhere would run what nobody has seen. The
database and the folder of the snapshots are the operator's business, and may be anywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

FIX = "move it into the project; if it is meant to stand elsewhere, say --allow-outside"


def project_of(config: Path) -> Path:
    """
    Return the folder that the config at *config* may not lead out of.

    That is the nearest folder above it that git knows (it holds `.git`); without one, the folder above its own.
    """
    try:
        folder = Path(os.path.realpath(config.parent))
    except ValueError:  # a NUL, say: whoever opens it says so
        return config.parent
    return next((above for above in (folder, *folder.parents) if os.path.lexists(above / ".git")), folder.parent)


def leads_out(path: Path, project: Path) -> bool:
    """Say whether *path*, its links followed, is neither *project* nor in it. What cannot be a path leads nowhere."""
    try:
        return not Path(os.path.realpath(path)).is_relative_to(project)
    except ValueError:  # a NUL, say: whoever opens it says so
        return False
