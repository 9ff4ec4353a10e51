"""The chart and the manifests, rendered by the programs that users render them with."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
CHART = PROJECT / "helm" / "dbmigration-operator"

Documents = list[dict[str, Any]]


def _output(*command: str | Path) -> str:
    ended = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def helm() -> Path:
    return Path(_output("scripts/helm").strip())


@pytest.fixture(scope="session")
def chart(helm: Path) -> Callable[..., Documents]:
    """Render the chart as the release `ops` in the namespace `operators`, with these `--set` values."""

    def render(*values: str) -> Documents:
        settings = [part for value in values for part in ("--set", value)]
        text = _output(helm, "template", "ops", CHART, "--namespace", "operators", *settings)
        return [document for document in yaml.safe_load_all(text) if document]

    return render


@pytest.fixture(scope="session")
def kustomize() -> Callable[[Path], Documents]:
    """Build a kustomization with the kubectl of the development environment."""

    def build(folder: Path) -> Documents:
        return list(yaml.safe_load_all(_output(Path(sys.executable).with_name("kubectl"), "kustomize", folder)))

    return build
