"""Which file system a file lies on: over a network, the locks that a database needs are not to be trusted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = (
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs"),
    *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "acfs", "autofs"),
    *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"),  # a folder of the host's
)
LOCAL_FUSE = (
    *("fuse.bindfs", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.lxcfs"),
    *("fuse.mergerfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.unionfs"),
)
"""Of what runs in user space the rest is taken for a network's: sshfs, s3fs, rclone, gcsfuse and many more."""


class Mount(NamedTuple):
    """A file system: of what kind it is, and the folder that it stands in."""

    kind: str
    folder: str


def network_mount(file: Path, mountinfo: str | None = None) -> Mount | None:
    """
    Return the network file system that *file* lies on, whether it is there yet or not; None where it is a local one.

    *mountinfo* is what Linux says of its mounts; where a system says nothing of the kind, nothing is known: None.
    """
    if mountinfo is None:
        try:
            mountinfo = MOUNTS.read_text("utf-8", "surrogateescape")
        except OSError:
            return None
    folders = {str(folder) for folder in (file.resolve(), *file.resolve().parents)}
    under = [mount for mount in map(_mount, mountinfo.splitlines()) if mount and mount.folder in folders]
    nearest = max(enumerate(under), key=lambda found: (len(found[1].folder), found[0]), default=None)
    return nearest[1] if nearest and _is_network(nearest[1].kind) else None


def _is_network(kind: str) -> bool:
    return kind in NETWORK or (kind.partition(".")[0] == "fuse" and kind not in LOCAL_FUSE)


def _mount(line: str) -> Mount | None:
    """Read `36 35 98:0 /root /folder rw,noatime shared:1 - nfs4 server:/x rw`; None for anything else."""
    before, _, after = line.partition(" - ")
    fields = before.split(" ")
    if len(fields) < 6 or not after:  # noqa: PLR2004  so many stand before the optional ones
        return None
    return Mount(after.split(" ")[0], re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
