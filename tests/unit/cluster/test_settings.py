"""The environment is read once; what cannot be read is named."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbmigration.settings import LogFormat, Settings, SettingsError


def test_an_empty_environment_means_the_defaults():
    read = Settings.from_environment({"DBMIGRATION_WATCH_NAMESPACES": "", "KUBECONFIG": ""})

    assert read.watch_namespaces == ()
    assert read.kubeconfig is None
    assert read.lease_namespace == read.pod_namespace == "default"
    assert read.max_runs == Settings().max_runs


def test_everything_can_be_set():
    read = Settings.from_environment(
        {
            "DBMIGRATION_WATCH_NAMESPACES": "a, b,a",
            "DBMIGRATION_TOOLS_IMAGE": "tools:2",
            "DBMIGRATION_TOOLS_IMAGE_PULL_POLICY": "Never",
            "POD_NAME": "operator-0",
            "POD_NAMESPACE": "system",
            "DBMIGRATION_LOG_FORMAT": "json",
            "DBMIGRATION_MAX_RUNS": "3",
            "DBMIGRATION_FIRST_RETRY": "0.5",
            "DBMIGRATION_DRAIN_PATIENCE": "90",
        }
    )

    assert read.watch_namespaces == ("a", "b")
    assert (read.tools_image, read.tools_image_pull_policy) == ("tools:2", "Never")
    assert (read.pod_name, read.lease_namespace) == ("operator-0", "system")
    assert read.log_format is LogFormat.JSON
    assert read.max_runs == 3
    assert read.pace.first_retry == timedelta(seconds=0.5)
    assert read.pace.drain_patience == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DBMIGRATION_MAX_RUNS", "0"),
        ("DBMIGRATION_HTTP_PORT", "http"),
        ("DBMIGRATION_LOG_FORMAT", "xml"),
        ("DBMIGRATION_LONGEST_RETRY", "-1"),
        ("DBMIGRATION_TOOLS_IMAGE_PULL_POLICY", "Sometimes"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variable, text):
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: text})
