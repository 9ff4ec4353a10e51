"""The node's address, the way between its Pods, and the removal of both.

Pods are joined to the host one by one (the ptp plugin), not by a bridge: between two ports of one bridge the reply of a
Service's endpoint would go straight back and miss its address translation on a kernel without br_netfilter.
"""

import json
import re
import socket
import subprocess
from pathlib import Path

from tests.cluster.embedded.programs import find, run

NODE_ADDRESS = "172.31.0.1"
POD_RANGE = "10.85.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"

_LINK = "dbmigration0"
_TABLE = "dbmigration-test"
_COMMENT = f"{_TABLE}-pods"
_CNI_RESULTS = Path("/var/lib/cni/results")


def create() -> None:
    """Give the node an address that is not loopback (kubelet refuses that), and let Pods out through the host."""
    _ip("link", "add", _LINK, "type", "bridge")
    _ip("address", "add", f"{NODE_ADDRESS}/32", "dev", _LINK)
    _ip("link", "set", _LINK, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="utf-8")
    _nft(
        f"add table ip {_TABLE}",
        f"add chain ip {_TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}",
        f"add rule ip {_TABLE} postrouting ip saddr {POD_RANGE} ip daddr != {POD_RANGE} masquerade",
    )
    if "policy drop" in _forward_chain():
        # Docker's engine leaves FORWARD at DROP, and an accept in a table of our own would not overrule it.
        _nft(
            *(
                f'insert rule ip filter FORWARD ip {end} {POD_RANGE} accept comment "{_COMMENT}"'
                for end in ("saddr", "daddr")
            )
        )


def remove(pod_network: str) -> None:
    """Take back what `create`, kube-proxy and the Pods' network have made; what is not there is no error."""
    for found in re.finditer(rf'comment "{_COMMENT}" # handle (\d+)', _forward_chain()):
        _nft(f"delete rule ip filter FORWARD handle {found[1]}")
    tables = json.loads(run("nft", "--json", "list", "tables"))["nftables"]
    for table in (item["table"] for item in tables if "table" in item):
        if table["name"] in {_TABLE, "kube-proxy"}:
            _nft(f"delete table {table['family']} {table['name']}")
    if _LINK in {name for _, name in socket.if_nameindex()}:
        _ip("link", "delete", _LINK)
    # libcni's record of a sandbox stays where its sandbox was killed; the loopback's is named by the same id.
    for record in _CNI_RESULTS.glob(f"{pod_network}-*"):
        sandbox = record.name.removeprefix(f"{pod_network}-").rpartition("-")[0]
        for file in _CNI_RESULTS.glob(f"*-{sandbox}-*"):
            file.unlink()


def _forward_chain() -> str:
    ended = subprocess.run(
        [find("nft"), "--handle", "list", "chain", "ip", "filter", "FORWARD"],
        check=False,
        capture_output=True,
        text=True,
    )
    return ended.stdout


def _ip(*arguments: str) -> None:
    run("ip", *arguments)


def _nft(*commands: str) -> None:
    run("nft", "--file", "-", given="\n".join(commands))
