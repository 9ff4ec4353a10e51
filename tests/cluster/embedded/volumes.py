"""PersistentVolumes on this machine's disk, for a cluster that has no provisioner.

They are of type `local`, not hostPath: kubelet gives a Pod's fsGroup to the former only.
"""

import os
from pathlib import Path
from typing import Any

from tests.cluster.embedded import programs

_USER = 65532


def make_folder(folder: Path, size_mib: int | None) -> None:
    """A folder that user and group 65532 may write to; with a size, a file system of its own that is full after it."""
    folder.mkdir(parents=True)
    if size_mib is not None:
        # A real file system on a file, not tmpfs: what is written there counts against no Pod's memory limit.
        disk = folder.with_name(f"{folder.name}.disk")
        with disk.open("wb") as file:
            file.truncate(size_mib * 1024 * 1024)
        programs.run("mkfs.ext4", "-q", "-F", "-m", "0", disk)
        programs.run("mount", "-o", "loop", disk, folder)
        (folder / "lost+found").rmdir()
    os.chown(folder, _USER, _USER)
    folder.chmod(0o770)


def manifests(namespace: str, claim: str, folder: Path, size_mib: int | None, node: str) -> tuple[dict[str, Any], ...]:
    """A volume at the folder and a claim that is bound to it, and to nothing else."""
    name = f"{namespace}-{claim}"
    size = f"{size_mib}Mi" if size_mib is not None else "100Gi"
    host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {"dbmigration-test/namespace": namespace}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": claim},
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]}},
        },
    }
    bound = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": size}},
        },
    }
    return volume, bound
