"""On which file system a database file lies is read from the mount table."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmigration_runner.engines.sqlite import NETWORK_FILE_SYSTEMS, file_system_of

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /data rw,relatime shared:1 - nfs4 server:/export rw
31 30 254:1 / /data/local\\040disk rw - xfs /dev/vdb rw
32 22 0:41 / /database rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/shop", "ext4"),
        ("/data", "nfs4"),
        ("/data/deep/down", "nfs4"),
        ("/data/local disk/shop", "xfs"),
        ("/database", "cifs"),
        ("/datab", "ext4"),
    ],
)
def test_the_longest_mount_point_decides(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind


def test_network_file_systems_are_known():
    assert {"nfs", "nfs4", "cifs"} <= set(NETWORK_FILE_SYSTEMS)
