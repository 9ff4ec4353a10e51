"""The embedded cluster by hand: `python -m tests.cluster.embedded up`, then `down`."""

import argparse
import sys
import time

from tests.cluster.embedded import binaries, catalog, engine, images
from tests.cluster.embedded.cluster import EmbeddedCluster, whole_session
from tests.cluster.embedded.errors import ClusterError


def main() -> int:
    """Run one command; 1 when it could not be done, with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a fresh cluster, with the project's images in it")
    up.add_argument("--bare", action="store_true", help="without the project's images")
    commands.add_parser("down", help="leave nothing of the cluster but its logs")
    commands.add_parser("build", help="build the cluster's own binaries, if they are missing")
    commands.add_parser("images", help="build the project's images, those that changed")
    commands.add_parser("kubeconfig", help="print the path of the running cluster's kubeconfig")
    commands.add_parser("status", help="say which processes run; 1 if the cluster is not up")
    chosen = parser.parse_args()
    started = time.monotonic()
    try:
        code = _run(chosen.command, EmbeddedCluster(), bare=getattr(chosen, "bare", False))
    except ClusterError as error:
        print(f"{chosen.command}: {error}", file=sys.stderr)
        return 1
    if chosen.command in {"up", "down", "build", "images"}:
        print(f"{chosen.command}: done in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return code


def _run(command: str, cluster: EmbeddedCluster, *, bare: bool) -> int:
    match command:
        case "up":
            archives = {} if bare else images.archives_of(catalog.ALL)
            with whole_session():
                cluster.up()
                for archive in archives.values():
                    cluster.load(archive)
            print(f"export KUBECONFIG={cluster.layout.kubeconfig}")
        case "down":
            with whole_session():
                cluster.down()
            engine.end_what_is_left()
        case "build":
            print(binaries.build(binaries.KUBERNETES))
            print(binaries.build(binaries.COREDNS))
        case "images":
            for image, archive in images.archives_of(catalog.ALL).items():
                print(f"{image.reference}\t{archive.stat().st_size / 1e6:.0f} MB\t{archive}")
        case "kubeconfig":
            if not cluster.is_up:
                raise ClusterError("No cluster is up. Start one: python -m tests.cluster.embedded up")
            print(cluster.layout.kubeconfig)
        case "status":
            for process in cluster.processes.recorded():
                print(f"{process.name}\t{process.pid}\t{'running' if process.is_running else 'ended'}")
            return 0 if cluster.is_up else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
