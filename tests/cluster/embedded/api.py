"""The few questions the start of a cluster asks: of its API server, of its DNS. Tests use kubectl and the real client."""

import json
import socket
import ssl
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.embedded import network

SERVER = f"https://{network.NODE_ADDRESS}:6443"


class Api:
    """Reads from the API server as its administrator; what cannot be had yet is None."""

    def __init__(self, authority: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certificate, key)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def is_ready(self) -> bool:
        return self._get("/readyz") is not None

    def node_is_ready(self, name: str) -> bool:
        node = self._json(f"/api/v1/nodes/{name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def has_service_account(self, namespace: str) -> bool:
        return self._get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default") is not None

    def _json(self, path: str) -> dict[str, Any] | None:
        answer = self._get(path)
        return None if answer is None else json.loads(answer)

    def _get(self, path: str) -> bytes | None:
        try:
            with self._opener.open(SERVER + path, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError):
            return None


def name_resolves(name: str) -> bool:
    """Whether the cluster's DNS answers with an address for this name."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + question + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(1)
        try:
            asked.connect((network.NODE_ADDRESS, 53))
            asked.send(query)
            _, flags, _, answers, _, _ = struct.unpack("!6H", asked.recv(512)[:12])
        except OSError:
            return False
    return bool(flags & 0xF == 0 and answers > 0)
