"""The shop on a real Kubernetes, as a user would do it, with every command shown; `make demo-cluster` runs it.

Shows commands and what they print, nothing else. It must not assert: that is the tests' business; a command that fails ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import catalog
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.installation import install
from tests.cluster.operator.stage import Stage, server
from tests.cluster.providers import chosen

NAMESPACE = "shop"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


class Terminal:
    """Shows a kubectl command as a user types it, then what it prints."""

    def __init__(self, cluster: Cluster) -> None:
        self._program = Path(sys.executable).with_name("kubectl")
        self._environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}

    def kubectl(self, *arguments: str, check: bool = True) -> None:
        print(f"$ kubectl {' '.join(arguments)}", flush=True)
        command = [self._program, "--namespace", NAMESPACE, *arguments]
        ended = subprocess.run(command, env=self._environment, check=False)
        if check and ended.returncode:
            raise SystemExit(f"kubectl ended with {ended.returncode}.")


def play(cluster: Cluster) -> None:
    """Install, release 1.0, release 1.1, and release 1.2, which fails and comes back by itself."""
    terminal = Terminal(cluster)
    say("The operator is installed by its chart; a PostgreSQL server and a shop's database are there.")
    install(cluster)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    namespace = Namespace(NAMESPACE, cluster)
    eventually(
        lambda: namespace.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account"
    )
    stage = Stage(namespace, server(cluster, cluster.image(catalog.POSTGRESQL)), "shop", "shop")
    stage.prepare()
    for release in ("1.0", "1.1", "1.2"):
        image = {"reference": cluster.image(catalog.shop(release))}
        stage.spec["migrations"] = {"source": {"image": image}, "urlTo": {"env": {"DATABASE_URL": "url"}}}
        broken = release == "1.2"
        if broken:
            stage.spec["rollback"] = {"onFailure": "Downgrade"}
        say(
            f"Release {release}: the image in the spec is {image['reference']}"
            + (", its second revision fails on every database, and rollback.onFailure is Downgrade." if broken else ".")
        )
        if release == "1.0":
            print(yaml.safe_dump({"spec": stage.spec}, sort_keys=False, default_flow_style=None, width=120))
        stage.apply()
        terminal.kubectl("wait", "dbm/shop", f"--for=condition={'RolledBack' if broken else 'Ready'}", "--timeout=3m")
        terminal.kubectl("get", "dbm")
    say("The broken release came back by itself: the database is where 1.1 left it, and the resource says why.")
    terminal.kubectl("describe", "dbm", "shop")
    terminal.kubectl("get", "jobs")


def main() -> int:
    try:
        provider = chosen()
        say("A Kubernetes is built, once, and started.")
        try:
            provider.up()
            play(Cluster(provider))
        finally:
            if os.environ.get("DBMIGRATION_KEEP_CLUSTER") != "1":
                provider.down()
    except ClusterError as error:  # it says what is missing, where a traceback would say where we noticed
        print(f"demo-cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
