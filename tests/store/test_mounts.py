from pathlib import Path

import pytest

from runner.store.connect import on_network
from runner.store.mounts import Mount, network_mount

TABLE = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:40 / /srv rw,noatime shared:1 master:2 - nfs4 files:/export rw,vers=4.2
29 28 0:41 / /srv/local rw - tmpfs none rw
30 27 0:42 / /mnt/two\040words rw - cifs //files/share rw
31 27 0:43 / /twice rw - nfs4 files:/a rw
32 31 0:44 / /twice rw - xfs /dev/vdb rw
33 27 0:45 / /far rw - fuse.sshfs me@there:/ rw
34 27 0:46 / /near rw - fuse.mergerfs a:b rw
35 27 0:47 / /stick rw - fuseblk /dev/sdb1 rw
36 27 0:48 / /share rw - 9p share rw
37 27 0:49 / /plain rw - fuse something rw
no mount at all
"""


@pytest.mark.parametrize(
    ("file", "mount"),
    [
        ("/rollout.db", None),
        ("/srv/rollout.db", Mount("nfs4", "/srv")),
        ("/srv/a/folder/that/is/not/there/rollout.db", Mount("nfs4", "/srv")),
        ("/srvother/rollout.db", None),
        ("/srv/local/rollout.db", None),
        ("/srv/local/../rollout.db", Mount("nfs4", "/srv")),
        ("/mnt/two words/rollout.db", Mount("cifs", "/mnt/two words")),
        ("/twice/rollout.db", None),  # the later mount hides the earlier one
        ("/far/rollout.db", Mount("fuse.sshfs", "/far")),
        ("/near/rollout.db", None),
        ("/stick/rollout.db", None),
        ("/share/rollout.db", Mount("9p", "/share")),
        ("/plain/rollout.db", Mount("fuse", "/plain")),
    ],
)
def test_a_file_on_a_network_is_known_by_the_mount_that_it_stands_in(file, mount):
    assert mount == network_mount(Path(file), TABLE)


def test_a_link_is_where_it_leads_to(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near.db").symlink_to(tmp_path / "far/rollout.db")
    table = f"1 1 0:1 / {tmp_path}/far rw - nfs files:/ rw\n"

    assert Mount("nfs", f"{tmp_path}/far") == network_mount(tmp_path / "near.db", table)


@pytest.mark.parametrize("text", ["", "\n\n", "1 2 3 - \n", " - nfs", "a b c d / e - nfs\n" * 3])
def test_a_table_that_says_nothing_tells_of_no_network(text, tmp_path):
    assert network_mount(tmp_path / "rollout.db", text) in {None, Mount("nfs", "/")}


def test_the_table_of_this_machine_can_be_read(tmp_path):
    assert on_network(f"sqlite:///{tmp_path}/rollout.db", "sqlite") is None
