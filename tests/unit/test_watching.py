"""What is told of a resource on a cluster, and that one whose API server does not answer is told once, and ended in time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from dbmigration.local.driving import Exit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def silent_cluster(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig that leads to a port which is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield _kubeconfig(tmp_path, f"https://127.0.0.1:{taken.getsockname()[1]}")


class _Answers(BaseHTTPRequestHandler):
    """An API server that knows two resources: one whose status is new, and one whose list of backups is not whole yet."""

    def do_GET(self) -> None:
        times = {"takenAt": "2026-11-23T04:12:33Z", "verifiedAt": "2026-11-23T04:12:40Z"}
        backup = {"name": "shop-7", "location": "/backups/shop-7", "sizeBytes": 8 << 20, "sha256": "ab", **times}
        status = {} if self.path.endswith("/anew") else {"backups": [backup], "backupsUntold": 3}
        body = json.dumps({"metadata": {"name": "shop"}, "spec": {}, "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig that leads to it."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield _kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _said(kubeconfig: Path, *arguments: str) -> tuple[int, str]:
    """The client reads KUBECONFIG once a process, when it is imported; so each has its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dbmigration", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{ROOT}/operator", "KUBECONFIG": str(kubeconfig)},
    )
    return done.returncode, done.stdout + done.stderr


def test_waiting_ends_with_its_limit_and_says_what_it_waited_for(silent_cluster: Path):
    code, said = _said(silent_cluster, "wait", "shop", "--timeout", "5s")
    assert code == Exit.WAITING
    assert said.count("asking again") == 1
    assert "default/shop did not come to its end within 0:00:05" in said


def test_a_status_that_cannot_be_read_is_not_waited_for(silent_cluster: Path):
    code, said = _said(silent_cluster, "status", "shop")
    assert code == Exit.WAITING
    assert "no answer from the API server" in said


def test_without_a_kubeconfig_what_is_given_instead_on_this_machine_is_named(tmp_path: Path):
    code, said = _said(tmp_path / "nowhere", "rollback", "shop", "--steps", "1")
    assert code == Exit.INVALID
    assert "dbmigration run --target REVISION --allow-downgrade for a rollback" in said


def test_an_order_that_was_not_given_is_said_not_to_be(silent_cluster: Path):
    code, said = _said(silent_cluster, "restore", "shop", "--backup", "old")
    assert code == Exit.WAITING
    assert "no answer from the API server" in said
    assert said.endswith("; nothing was ordered.\n")


def test_a_list_that_cannot_be_read_speaks_of_no_order(silent_cluster: Path):
    code, said = _said(silent_cluster, "backups", "shop")
    assert code == Exit.WAITING
    assert "no answer from the API server" in said
    assert "order" not in said


def test_a_list_of_backups_that_is_not_whole_says_how_the_others_are_found(cluster: Path):
    code, said = _said(cluster, "backups", "shop")
    assert code == Exit.SUCCEEDED
    assert said.startswith("shop-7  2026-11-23 04:12:33 UTC")
    assert "Not listed yet: 3 older ones on the volume. The list is completed from the volume by every" in said
    code, said = _said(cluster, "backups", "anew")
    assert code == Exit.SUCCEEDED
    assert said.startswith("The status of default/anew knows no backup. The list is completed from the volume by every")


def test_a_wish_that_was_not_written_is_said_not_to_be(silent_cluster: Path):
    code, said = _said(silent_cluster, "rollback", "shop", "--to", "10c", "--allow-downgrade")
    assert code == Exit.WAITING
    assert said.endswith("; nothing was changed.\n")


def test_the_client_takes_the_current_context_of_the_first_file_as_kubectl_does(silent_cluster: Path, tmp_path: Path):
    other = tmp_path / "other"
    document = {"contexts": [{"name": "b", "context": {"cluster": "nowhere", "user": "a"}}], "current-context": "b"}
    other.write_text(yaml.safe_dump(document), encoding="utf-8")
    code, said = _said(Path(f"{silent_cluster}:{tmp_path / 'missing'}:{other}"), "status", "shop")
    assert code == Exit.WAITING
    assert "no answer from the API server" in said


def test_a_kubeconfig_that_leads_nowhere_is_told_with_its_remedy(tmp_path: Path):
    code, said = _said(tmp_path / "nowhere", "status", "shop")
    assert code == Exit.INVALID
    assert (
        f"There is no kubeconfig at {tmp_path / 'nowhere'}. Set KUBECONFIG to one that leads to your cluster." in said
    )
    assert "dbmigration backups ./DIR" in said


@pytest.mark.parametrize("content", ["", "not: [closed", "a word", "[]"], ids=["empty", "no YAML", "a word", "a list"])
def test_a_file_that_is_no_kubeconfig_is_told_with_its_remedy(tmp_path: Path, content: str):
    (tmp_path / "kubeconfig").write_text(content, encoding="utf-8")
    code, said = _said(tmp_path / "kubeconfig", "status", "shop")
    assert code == Exit.INVALID
    assert said.startswith("dbmigration: The file is no kubeconfig")
    assert " Set KUBECONFIG to one that leads to your cluster. " in said
