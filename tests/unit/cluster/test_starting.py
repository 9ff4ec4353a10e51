"""What the operator says first, so that its log answers why nobody looks at a resource."""

from __future__ import annotations

import logging

import pytest

from dbmigration.controller import app
from dbmigration.settings import Settings


@pytest.mark.parametrize(("namespaces", "told"), [((), "all namespaces"), (("shop", "till"), "shop, till")])
def test_the_first_line_of_the_log_names_the_namespaces(namespaces, told, monkeypatch, caplog):
    def nowhere(_kubeconfig):
        raise ConnectionError

    monkeypatch.setattr(app, "open_client", nowhere)
    monkeypatch.setattr(app.log, "configure", lambda _format: None)
    with caplog.at_level(logging.INFO, logger=app.__name__), pytest.raises(ConnectionError):
        app.run(Settings(watch_namespaces=namespaces))
    assert caplog.messages[0].endswith(f"starts. It watches {told}.")
