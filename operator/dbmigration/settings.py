"""What the operator's process is told from outside, once, by its environment.

Read at the start and frozen; every variable is documented at its field. It must not hold anything that a single
DatabaseMigration may decide, nor a secret.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from dbmigration.lifecycle.observed import Pace

T = TypeVar("T")


class LogFormat(StrEnum):
    """How the operator writes its log."""

    JSON = "json"
    TEXT = "text"


class SettingsError(ValueError):
    """A variable of the environment cannot be read; the message names it and what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that may be set; the field's comment names its variable."""

    watch_namespaces: tuple[str, ...] = ()
    """DBMIGRATION_WATCH_NAMESPACES: namespaces, separated by commas; empty means the whole cluster."""

    tools_image: str = "dbmigration-tools:0.1.0"
    """DBMIGRATION_TOOLS_IMAGE: the image that holds the runner; of the same release as the operator."""

    tools_image_pull_policy: str | None = None
    """DBMIGRATION_TOOLS_IMAGE_PULL_POLICY: Always, IfNotPresent or Never; Kubernetes' default where it is not set."""

    pod_name: str = "dbmigration-operator"
    """POD_NAME: who this process is, in the Lease and in Events."""

    pod_namespace: str = "default"
    """POD_NAMESPACE: where the operator runs."""

    log_format: LogFormat = LogFormat.TEXT
    """DBMIGRATION_LOG_FORMAT: json or text."""

    lease_name: str = "dbmigration-operator"
    """DBMIGRATION_LEASE_NAME: the Lease that decides which process acts."""

    lease_namespace: str = ""
    """DBMIGRATION_LEASE_NAMESPACE: where that Lease is; POD_NAMESPACE where it is not set."""

    max_runs: int = 16
    """DBMIGRATION_MAX_RUNS: how many runs may be at work at once, over all namespaces."""

    http_port: int = 8080
    """DBMIGRATION_HTTP_PORT: /livez, /readyz and /metrics."""

    kubeconfig: str | None = None
    """KUBECONFIG: a file to reach the cluster from outside; not set inside of it, where the service account is used."""

    pace: Pace = field(default_factory=Pace)
    """DBMIGRATION_FIRST_RETRY, DBMIGRATION_LONGEST_RETRY, DBMIGRATION_START_GRACE, DBMIGRATION_DRAIN_PATIENCE: seconds; tests
    are less patient."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment; raises SettingsError, which names the variable."""
        given, default = _Reader(environment), cls()
        namespace = given.text("POD_NAMESPACE", default.pod_namespace)
        pace = Pace(
            first_retry=given.read("DBMIGRATION_FIRST_RETRY", _seconds, default.pace.first_retry),
            longest_retry=given.read("DBMIGRATION_LONGEST_RETRY", _seconds, default.pace.longest_retry),
            start_grace=given.read("DBMIGRATION_START_GRACE", _seconds, default.pace.start_grace),
            drain_patience=given.read("DBMIGRATION_DRAIN_PATIENCE", _seconds, default.pace.drain_patience),
        )
        return cls(
            watch_namespaces=given.read("DBMIGRATION_WATCH_NAMESPACES", _names, ()),
            tools_image=given.text("DBMIGRATION_TOOLS_IMAGE", default.tools_image),
            tools_image_pull_policy=given.read("DBMIGRATION_TOOLS_IMAGE_PULL_POLICY", _pull_policy, None),
            pod_name=given.text("POD_NAME", socket.gethostname()),
            pod_namespace=namespace,
            log_format=given.read("DBMIGRATION_LOG_FORMAT", LogFormat, default.log_format),
            lease_name=given.text("DBMIGRATION_LEASE_NAME", default.lease_name),
            lease_namespace=given.text("DBMIGRATION_LEASE_NAMESPACE", namespace),
            max_runs=given.read("DBMIGRATION_MAX_RUNS", _positive, default.max_runs),
            http_port=given.read("DBMIGRATION_HTTP_PORT", int, default.http_port),
            kubeconfig=given.read("KUBECONFIG", str, None),
            pace=pace,
        )


class _Reader:
    """An unset variable and an empty one are the same."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise SettingsError(f"{name} cannot be read: {error}") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _seconds(text: str) -> timedelta:
    seconds = float(text)
    if seconds <= 0:
        raise ValueError("it must be a positive number of seconds")
    return timedelta(seconds=seconds)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("it must be 1 or more")
    return number


def _pull_policy(text: str) -> str:
    if text not in {"Always", "IfNotPresent", "Never"}:
        raise ValueError("it must be Always, IfNotPresent or Never")
    return text
