"""Messages that were written for a cluster, as they are said to somebody without one.

Lifecycle and runner name Secrets, Pods and annotations, for that is where they mostly are; what is stored stays in their
words, so that the same run tells the same in both worlds. Only what is shown passes through here. It must not change what a
message means.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dbmigration.local.store import Resource
from dbmigration_runner.contract.result import Result

# What is said there, and what it is here; the first that fits is taken first. A test holds each of them current.
PHRASES: tuple[tuple[str, str], ...] = (
    ("Set the retry annotation, or change the spec, to run again", "The same command runs again"),
    ("then set the retry annotation", "then run again"),
    ("Set the retry annotation", "Run again"),
    ("until the spec changes or the retry annotation is set", "until the command runs without --restore"),
    ("DatabaseRestore ", "Order "),
    ("Mend the Secret", "Mend user and password in the URL"),
    ("mend the Secret", "mend the URL"),
    ("the URL in the Secret", "the URL"),
    ("Neither its Job nor its Pod is there any more", "Nothing of its process is there any more"),
    ("in its Pod's log", "in its log"),
    ("the Pod's log", "its log"),
    ("raise podTemplate.resources", "give this machine more"),
    ("mount it writable, or set podTemplate.fsGroup", "make it writable for this user"),
    ("Mount it writable, or set podTemplate.fsGroup", "Make it writable for this user"),
    ("mount the claim there", "make the folder"),
    ("set migrations.path and migrations.config to where the image has it", "give --project and --config where it is"),
    ("set migrations.python to the interpreter", "give --python the interpreter"),
    ("Set migrations.python to the interpreter", "Give --python the interpreter"),
    ("ahead of this image", "ahead of this project"),
    ("Use the image that knows it", "Use the release that knows it"),
    ("install one of them in the image", "install one of them for it"),
    ("client programs of this image", "client programs of this machine"),
    ("this image has no pg_dump", "this machine has no pg_dump"),
    ("set backup.image to one that has them", "install them"),
    ("the configuration or the image are", "or the configuration are"),
    ("Set policy.downgrade to Allow", "Give --allow-downgrade, or set policy.downgrade to Allow,"),
    ("or targetRevision to where it", "or --target to where it"),
    ("Set rollback.acceptDataLoss to true", "Give --accept-data-loss, or set rollback.acceptDataLoss to true,"),
    ("set adminUrlFrom to", "give --admin-url-file with the URL of"),
    ("set adminUrlFrom", "give --admin-url-file"),
    ("adminUrlFrom leads to another server than urlFrom", "the URL of --admin-url-file leads to another server"),
    ("adminUrlFrom", "--admin-url-file"),
    (
        "Say in migrations.urlTo how env.py gets the URL",
        "Say in a manifest (-f, migrations.urlTo) how env.py gets the URL",
    ),
    (
        "as the application expects it: migrations.urlTo",
        "as the application expects it: migrations.urlTo of a manifest (-f)",
    ),
    (
        "perhaps migrations.urlTo or podTemplate.env is missing something",
        "perhaps the environment lacks a variable, or the manifest a migrations.urlTo",
    ),
    ("operator and runner are of different releases", "dbmigration and its runner are of different releases"),
)


_ORDER = re.compile(r"`dbmigration restore \S+ --namespace \S+ --backup (\S+) --accept-data-loss`")


def here(text: str) -> str:
    """A message for somebody at this machine."""
    for there, said in PHRASES:
        text = text.replace(there, said)
    return _ORDER.sub(r"the same command with --restore \1 --accept-data-loss", text)


def of_resource(resource: Resource) -> Resource:
    """The resource with every message of its status said so."""
    return replace(resource, status=_messages(resource.status))


def of_result(result: Result) -> Result:
    """A step's answer with its message and warnings said so."""
    return replace(result, message=here(result.message), warnings=tuple(map(here, result.warnings)))


def _messages(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: here(value) if key == "message" and isinstance(value, str) else _messages(value)
            for key, value in node.items()
        }
    return [_messages(item) for item in node] if isinstance(node, list) else node
