"""What must hold of the cluster's own tools before one may be trusted to end processes and to call an image unchanged."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cluster.access import eventually
from tests.cluster.embedded import cache, images
from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.cluster import EmbeddedCluster
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.embedded.processes import Processes
from tests.cluster.embedded.programs import find
from tests.cluster.embedded.provider import EmbeddedProvider


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path / "records", tmp_path / "logs")
    yield made
    made.kill_all()


def test_a_process_that_was_started_is_ended_and_forgotten(processes):
    process = processes.start("sleeper", find("sleep"), "60")
    assert process.is_running

    processes.kill_all()

    assert not process.is_running
    assert processes.recorded() == []


def test_a_pid_that_is_used_again_is_never_killed(processes, tmp_path):
    with subprocess.Popen([find("sleep"), "60"]) as somebody_else:
        ours = processes.start("ours", find("sleep"), "60")
        ours.kill()
        used_again = dataclasses.asdict(ours) | {"pid": somebody_else.pid, "started": ours.started - 1000}
        (tmp_path / "records" / "ours.json").write_text(json.dumps(used_again), encoding="utf-8")

        processes.kill_all()

        assert somebody_else.poll() is None
        somebody_else.kill()


def test_what_a_killed_process_has_started_is_found_and_ended(processes, tmp_path):
    note = tmp_path / "pid"
    parent = processes.start("parent", find("sh"), "-c", f"sleep 60 & echo $! > {note}; wait")
    child = int(eventually(lambda: note.exists() and note.read_text(encoding="utf-8"), "The child's pid"))
    parent.kill()
    os.kill(child, 0)

    processes.kill_all()

    assert not _runs(child)


def test_the_end_of_a_process_is_told_with_its_last_words(processes):
    process = processes.start("speaker", find("sh"), "-c", "echo the reason >&2; exit 1")
    eventually(lambda: not process.is_running, "Its end")

    with pytest.raises(ClusterError, match=r"(?s)speaker has ended.*the reason"):
        processes.check()


def test_a_signal_is_followed_by_a_kill_when_it_is_ignored(processes):
    process = processes.start("stubborn", find("sh"), "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    eventually(lambda: processes.log("stubborn").read_text(encoding="utf-8"), "Its trap")

    process.kill(signal.SIGTERM, patience=0.2)

    assert not process.is_running


def test_an_image_is_unchanged_until_the_content_of_a_source_changes(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY source source\n", encoding="utf-8")
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("1", encoding="utf-8")
    image = Image("any:1", tmp_path, ("source",))
    first = images.context_of(image)

    os.utime(source / "a.py", (0, 0))
    (tmp_path / "elsewhere").write_text("not copied", encoding="utf-8")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "a.pyc").write_text("made on the way", encoding="utf-8")
    assert images.context_of(image) == first

    (source / "a.py").write_text("2", encoding="utf-8")
    assert images.context_of(image) != first


def test_a_file_is_published_whole_or_not_at_all(tmp_path):
    target = tmp_path / "binary"

    with contextlib.suppress(RuntimeError), cache.published(target) as unfinished:
        unfinished.write_text("half", encoding="utf-8")
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_who_never_had_its_turn_takes_no_cluster_down(tmp_path, monkeypatch):
    monkeypatch.setenv("DBMIGRATION_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("DBMIGRATION_KEEP_CLUSTER", raising=False)
    done: list[str] = []
    monkeypatch.setattr(EmbeddedCluster, "up", lambda _: done.append("up"))
    monkeypatch.setattr(EmbeddedCluster, "down", lambda _: done.append("down"))
    interrupted, other = EmbeddedProvider(), EmbeddedProvider()
    other.up()
    interrupted.down()
    assert done == ["up"]
    other.down()
    other.down()
    assert done == ["up", "down"]
