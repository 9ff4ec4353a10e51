"""Several kubeconfig files are one, as kubectl takes them: the first to say something wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from dbmigration.cluster.kubeconfig import read_contexts
from dbmigration.watching import namespace_of_context


def _file(path: Path, current: str | None, **namespaces: str) -> str:
    contexts = [{"name": name, "context": {"cluster": "c", "namespace": space}} for name, space in namespaces.items()]
    document = {"contexts": contexts} | ({} if current is None else {"current-context": current})
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def test_the_current_context_of_one_file_is_looked_up_in_all(tmp_path, monkeypatch):
    one, two = _file(tmp_path / "a", "b"), _file(tmp_path / "b", None, b="shop")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join((one, str(tmp_path / "missing"), "", two)))
    assert namespace_of_context() == "shop"


def test_the_first_that_names_a_current_context_wins_and_an_empty_one_names_none(tmp_path):
    paths = _file(tmp_path / "a", ""), _file(tmp_path / "b", "b", b="shop"), _file(tmp_path / "c", "c", b="no", c="no")
    contexts = read_contexts(os.pathsep.join(paths))
    assert (contexts.current, contexts.namespace) == ("b", "shop")


@pytest.mark.parametrize("text", ["", "[]", "not: [closed", "contexts: {}", "contexts: [1]", "\x00"])
def test_what_is_no_kubeconfig_says_nothing(tmp_path, text):
    (tmp_path / "a").write_text(text, encoding="utf-8")
    second = _file(tmp_path / "b", "b", b="shop")
    assert read_contexts(f"{tmp_path / 'a'}{os.pathsep}{second}").namespace == "shop"
    assert read_contexts(str(tmp_path / "a")).namespace == "default"
