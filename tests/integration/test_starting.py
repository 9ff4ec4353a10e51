"""However the runner is started, the application's modules are the application's and the runner's are the runner's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from dbmigration_runner.contract.task import DatabaseAccess
from tests.integration.projects import RUNNER

LAUNCHER = "import os, runpy\nrunpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'dbmigration_runner'), run_name='__main__')\n"


def test_a_folder_with_a_launcher_starts_it_too_and_vendored_libraries_come_last(project, tmp_path):
    home = tmp_path / "dbm"
    shutil.copytree(RUNNER, home / "dbmigration_runner")
    (home / "__main__.py").write_text(LAUNCHER)
    (home / "vendor").mkdir()
    (home / "vendor" / "sqlalchemy.py").write_text("raise ImportError('the vendored one')\n")
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    env = shop.path / "migrations/env.py"
    env.write_text("import json, sys\nprint('PATH', json.dumps(sys.path))\n" + env.read_text())
    shop.three_revisions()
    shop.start("plan").wait()
    (tmp_path / "url").write_text(shop.url)
    target = tmp_path / "answer"
    done = subprocess.run(
        [sys.executable, home],
        cwd=shop.path,
        env={**os.environ, "DBMIGRATION_TASK": shop.task("plan").to_json(), "DBMIGRATION_RESULT": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(target.read_text())["outcome"] == "Succeeded", done.stdout + done.stderr
    path = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("PATH"))[5:])
    assert path[-1] == str(home / "vendor")
    assert str(home) not in path
    assert str(home / "dbmigration_runner") not in path


def test_a_task_that_cannot_be_read_is_answered(tmp_path):
    target = tmp_path / "answer"
    done = subprocess.run(
        [sys.executable, RUNNER],
        env={**os.environ, "DBMIGRATION_TASK": '{"version": 99}', "DBMIGRATION_RESULT": str(target)},
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(target.read_text())["reason"] == "TaskInvalid"


def test_a_url_file_that_is_missing_is_answered(project, tmp_path):
    shop = project("url_in_the_ini", "")
    result = shop.run("plan", database=DatabaseAccess(url_file=str(tmp_path / "nosuch"))).result
    assert result.reason == "UrlInvalid"


def test_what_a_step_costs_is_counted(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    resources = shop.run("plan").result.resources
    assert resources.duration_seconds > 0
    assert resources.peak_memory_bytes > 1 << 20


AGENT = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


@pytest.mark.parametrize(("at_start", "is_new"), [("", False), (AGENT, True)])
def test_a_process_with_a_thread_is_not_forked_for_its_locks_would_stay_held(project, tmp_path, at_start, is_new):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/sitecustomize.py").write_text(at_start)
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.variables["PYTHONPATH"] = str(tmp_path / "agents")
    env = shop.path / "migrations/env.py"
    env.write_text("import sys\nprint('STARTED WITH', sys.orig_argv[1:])\n" + env.read_text())
    shop.three_revisions()
    ran = shop.run("migrate")
    assert ran.result.heads == ("a3",)
    said = next(line for line in ran.stdout.splitlines() if line.startswith("STARTED WITH"))
    assert ("'child'" in said) is is_new


def test_the_process_that_holds_the_lock_never_loads_the_application_nor_alembic(project, tmp_path):
    noted = tmp_path / "noted"
    noted.mkdir()
    (noted / "sitecustomize.py").write_text(
        "import atexit, os, pathlib, sys\n"
        "def note():\n"
        "    loaded = [name for name in ('alembic', 'shop_models') if name in sys.modules]\n"
        f"    pathlib.Path({str(noted)!r}, f'{{os.getpid()}}.loaded').write_text(' '.join(loaded))\n"
        "atexit.register(note)\n"
    )
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.variables["PYTHONPATH"] = str(noted)
    (shop.path / "shop_models.py").write_text("")
    env = shop.path / "migrations/env.py"
    env.write_text("import shop_models\n" + env.read_text())
    shop.three_revisions()
    running = shop.start("migrate")
    assert running.wait().result.heads == ("a3",)
    loaded = {int(file.stem): file.read_text() for file in noted.glob("*.loaded")}
    assert loaded.pop(running.process.pid) == ""
    assert list(loaded.values()) == ["alembic shop_models"]
