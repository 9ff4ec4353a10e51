"""The commands that work on this machine: run, cancel, status, backups.

Puts the parts together and turns what came out into an exit code. It must not parse arguments.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from dbmigration.api.explanations import ReasonClass, classify
from dbmigration.api.names import API_VERSION
from dbmigration.api.status import Procedure
from dbmigration.api.way_back import OnFailure
from dbmigration.local import journal, surroundings, wording
from dbmigration.local.archive import look_through
from dbmigration.local.audience import audience
from dbmigration.local.begun import as_begun, insist_on_the_folder, is_ordered, opening, unfinished, without_backup
from dbmigration.local.driving import Exit, drive_to_its_end
from dbmigration.local.errors import ManifestError
from dbmigration.local.manifest import Manifest, parse_manifest, read_manifest
from dbmigration.local.ordering import insist_on_backup, order_of
from dbmigration.local.planning import planned
from dbmigration.local.remembered import Asked, remembered
from dbmigration.local.report import archived, plan_document, plan_report, refusal, report
from dbmigration.local.steps import Steps
from dbmigration.local.store import Resource, Store, folder_name, holder, open_store
from dbmigration.local.surroundings import (
    Surroundings,
    absolute_url,
    checked_url,
    database_of,
    environment_of_steps,
    manifest_of_options,
    wish_of,
)
from dbmigration.local.workloads import Workloads, insist_on_program
from dbmigration.local.world import LocalWorld, document, results_of
from dbmigration_runner.contract.codec import encode
from dbmigration_runner.contract.result import Outcome, Result

_RESTORING = {choice.value for choice in OnFailure if choice.restores}
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said. `None` is "not said"."""

    filename: Path | None = None
    name: str | None = None
    project: Path | None = None
    config: str | None = None
    target: str | None = None
    allow_downgrade: bool = False
    on_failure: str | None = None
    accept_data_loss: bool = False
    restore: str | None = None
    drain_command: str | None = None
    resume_command: str | None = None
    url: str | None = None
    url_file: Path | None = None
    admin_url_file: Path | None = None
    python: str | None = None
    backups: Path | None = None
    no_backup: str | None = None
    tls: Path | None = None
    state: Path | None = None
    max_wait: timedelta = timedelta(minutes=5)
    sql: bool = False
    as_json: bool = False

    @property
    def root(self) -> Path:
        """Where the stores are."""
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        return (self.state or Path(base) / "dbmigration").expanduser().absolute()


def run(options: Options) -> Exit:
    """Take the database to where the manifest wants it, or to a backup; an open run is gone on with."""
    manifest, around = _manifest(options), _surroundings(options)
    if options.restore is not None and around.backups is None:
        raise ManifestError("--restore takes a backup of --backups: give the folder.")
    with _opened(options, manifest, around) as opened:
        # What carries out an order knows what was wished when it was given, and rests there: nothing else is begun behind it.
        fresh = opened.resource if is_ordered(opened.resource) else opened.resource.wished(wish_of(manifest, around))
        # Whoever starts this program wants something to happen now: the database is looked at also where the manifest is
        # the same as before, and what is waited for is tried at once.
        if fresh.run_is_open:
            fresh = replace(fresh, status={key: value for key, value in fresh.status.items() if key != "nextRetryTime"})
        elif options.restore is None:
            fresh = replace(fresh, retry=uuid.uuid4().hex)
        return _driven(opened, fresh, options)


def cancel(options: Options) -> Exit:
    """End an open run; a migration that has begun is stopped on the server, and the database is looked at."""
    # What is wished stays as it was: whoever wants an end need not repeat how the run was begun.
    options = replace(options, on_failure=None, accept_data_loss=False)
    manifest, around = _manifest(options), _surroundings(options)
    with _opened(options, manifest, around, to_cancel=True) as opened:
        if not opened.resource.run_is_open:
            sys.stderr.write("No run is open; there is nothing to cancel.\n")
            return Exit.SUCCEEDED
        return _driven(opened, replace(opened.resource, cancel=uuid.uuid4().hex), options, to_cancel=True)


def plan(options: Options) -> Exit:
    """Tell what a run would do; nothing is changed and no run is kept."""
    manifest, around = _manifest(options), _surroundings(options)
    folder = options.root / folder_name(manifest.namespace, manifest.name, around.database)
    steps = _steps(manifest, around, folder)
    private = folder.with_name(f"{folder.name}.plan-{os.getpid()}")
    try:
        with (
            surroundings.places(without_backup(manifest), around, private) as places,
            planned(manifest.namespace, manifest.name, manifest.spec, places, steps) as told,
        ):
            sql = journal.statements(told.log) if options.sql else None
            shown = wording.of_result(told.result)
            accepts = manifest.spec.rollback.accept_data_loss
            if options.as_json:
                text = json.dumps(plan_document(shown, sql, accepts_data_loss=accepts), indent=2)
            else:
                text = plan_report(shown, sql, _width(), accepts_data_loss=accepts)
            sys.stdout.write(f"{text}\n")
            return Exit.FAILED if refusal(shown, accepts_data_loss=accepts) else _verdict(told.result)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def status(options: Options) -> Exit:
    """Tell what is stored of the database, or else of the project, whatever the database is by now."""
    manifest = _manifest(options)
    asked = Asked(manifest.namespace, manifest.name, _asked_database(options), options.project)
    found, others = remembered(options.root, asked)
    if not found:
        sys.stderr.write(f"Nothing was run for {asked}; looked in {options.root}.\n")
    if others and (not found or asked.database is None):
        more = "".join(f"  {known}\n" for known in others)
        sys.stderr.write(f"Of the same name are also runs on these; give DBMIGRATION_URL or --url-file of one:\n{more}")
    if not found:
        return Exit.INVALID
    shown = [(known.folder, wording.of_resource(known.resource)) for known in found]
    if options.as_json:
        documents = [document(resource) for _, resource in shown]
        sys.stdout.write(json.dumps(documents if len(documents) > 1 else documents[0], indent=2) + "\n")
        return Exit.SUCCEEDED
    texts = []
    for folder, resource in shown:
        pid = holder(folder)
        at_work = f"\nat work     pid {pid}" if pid else ""
        results = [wording.of_result(result) for result in results_of(resource, Steps(folder / "steps", "", {}))]
        ending = Exit.INTERRUPTED if resource.run_is_open and pid is None else None
        texts.append(report(resource, results, str(folder / "steps"), ending, _width()) + at_work)
    sys.stdout.write("\n\n".join(texts) + "\n")
    return Exit.SUCCEEDED


def backups(folder: Path, *, verify: bool, as_json: bool) -> Exit:
    """List the backups on a folder, newest first; FAILED where one of them is none."""
    found = look_through(folder.absolute(), verify=verify)
    if as_json:
        sys.stdout.write(json.dumps([{**encode(item), "path": str(item.path)} for item in found], indent=2) + "\n")
    for item in () if as_json else found:
        sys.stdout.write(archived(item, verified=verify) + "\n")
    if not found:
        sys.stderr.write(f"There is no backup in {folder}.\n")
    elif not verify:
        sys.stderr.write("The dumps were not read, only their sizes compared; --verify reads them.\n")
    return Exit.FAILED if any(item.fault for item in found) else Exit.SUCCEEDED


@dataclass(frozen=True, slots=True)
class _Opened:
    """Everything that a run needs, locked."""

    store: Store
    steps: Steps
    places: Any
    resource: Resource
    manifest: Manifest


@contextmanager
def _opened(
    options: Options, manifest: Manifest, around: Surroundings, *, to_cancel: bool = False
) -> Iterator[_Opened]:
    name = folder_name(manifest.namespace, manifest.name, around.database)
    steps = _steps(manifest, around, options.root / name)
    with open_store(options.root, name) as store:
        resource = store.load(namespace=manifest.namespace, name=manifest.name, database=around.database)
        if to_cancel or is_ordered(resource):
            manifest = as_begun(manifest, resource, around, to_cancel=to_cancel)
        if options.restore is not None and around.backups is not None and not resource.run_is_open:
            own = surroundings.own_backups(around.backups, manifest, around)
            insist_on_backup(options.restore, own, f"{manifest.namespace}/{manifest.name}")
        with surroundings.places(manifest, around, store.folder) as places:
            run = resource.parsed_status.run
            if to_cancel or (run is not None and run.procedure is Procedure.RESTORE):
                insist_on_the_folder(resource, places.backups)
            yield _Opened(store, steps, places, resource, manifest)


def _driven(opened: _Opened, resource: Resource, options: Options, *, to_cancel: bool = False) -> Exit:
    before = resource.parsed_status
    watching = audience(before, terminal=sys.stderr.isatty())
    commands = options.drain_command, options.resume_command
    workloads = Workloads(opened.store.folder / "drained", watching.say, *commands)
    wished = opened.manifest.spec.drain
    drained = before.drain.workloads if before.drain is not None else wished.workloads if wished is not None else ()
    workloads.require(drained, unfinished(before))
    order = order_of(before, options.restore, accept_data_loss=options.accept_data_loss)
    world = LocalWorld(opened.store, opened.steps, opened.places, resource, workloads, order=order)
    with watching:
        is_changed = resource.generation != opened.resource.generation
        if line := opening(before, to_cancel=to_cancel, is_changed=is_changed):
            watching.say(line)
        ending = asyncio.run(drive_to_its_end(world, watching, options.max_wait))
    shown = wording.of_resource(world.resource)
    if options.as_json:
        sys.stdout.write(json.dumps(document(shown), indent=2) + "\n")
    else:
        results = [wording.of_result(result) for result in world.results()]
        sys.stdout.write("\n" + report(shown, results, str(opened.store.steps), ending, _width()) + "\n")
    return ending


def _manifest(options: Options) -> Manifest:
    if options.filename is not None:
        if options.name is not None or options.no_backup is not None:
            raise ManifestError(
                "--name and --no-backup are for runs without a manifest: write metadata.name and backup.skip.reason."
            )
        manifest = read_manifest(options.filename)
        changes = _wishes(dict(manifest.document), options)
        if changes == manifest.document:
            return manifest
        from_file = {
            "apiVersion": API_VERSION,
            "metadata": {"name": manifest.name, "namespace": manifest.namespace},
            "spec": changes,
        }
        return parse_manifest(from_file, f"{options.filename} with the options")
    if options.project is None:
        raise ManifestError("Give a manifest by --filename, or a project by --project.")
    name = options.name or _NOT_IN_NAMES.sub("-", options.project.absolute().name.lower()).strip("-.") or "database"
    return manifest_of_options(name, options.no_backup, lambda spec: _wishes(spec, options))


def _wishes(spec: dict[str, Any], options: Options) -> dict[str, Any]:
    """A spec with what the options say instead of it."""
    if options.config is not None:
        spec["migrations"] = {**spec["migrations"], "config": options.config}
    if options.target is not None:
        spec["targetRevision"] = options.target
    if options.allow_downgrade:
        spec["policy"] = {**spec.get("policy", {}), "downgrade": "Allow"}
    if options.on_failure is not None:
        spec["rollback"] = {**spec.get("rollback", {}), "onFailure": options.on_failure}
    if options.accept_data_loss and options.restore is None:  # of an order it is the order's own
        spec["rollback"] = {**spec.get("rollback", {}), "acceptDataLoss": True}
    if options.drain_command is not None and "drain" not in spec:
        spec["drain"] = {"workloads": [{"kind": "Deployment", "name": "application"}]}
    if options.on_failure in _RESTORING:
        if options.no_backup is not None:
            raise ManifestError(f"--on-failure {options.on_failure} restores a backup: leave --no-backup away.")
        if "drain" not in spec or (options.filename is None and options.resume_command is None):
            raise ManifestError(
                f"--on-failure {options.on_failure} restores a backup only when nothing writes to the database: give "
                "--drain-command and --resume-command, which stop and start here what does."
            )
    return spec


def _surroundings(options: Options) -> Surroundings:
    url = _database_url(options)
    if url is None:
        raise ManifestError(
            f"Which database? Give its URL in the variable {surroundings.URL_VARIABLE}, or in a file by --url-file."
        )
    if options.project is None:
        raise ManifestError("Give --project: the folder of the Alembic project that stands for the manifest's source.")
    project = options.project.absolute()
    if not project.is_dir():
        raise ManifestError(f"--project: there is no folder {project}.")
    python = options.python or sys.executable
    if shutil.which(python) is None:
        raise ManifestError(f"--python: there is no program {python}.")
    insist_on_program("--drain-command", options.drain_command)
    insist_on_program("--resume-command", options.resume_command)
    if options.tls is not None and not options.tls.is_dir():
        raise ManifestError(f"--tls: there is no folder {options.tls.absolute()}.")
    return Surroundings(
        url=url,
        admin_url=_url(None, options.admin_url_file, os.environ, surroundings.ADMIN_URL_VARIABLE),
        project=project,
        python=python,
        backups=options.backups.absolute() if options.backups else None,
        tls=options.tls.absolute() if options.tls else None,
    )


def _asked_database(options: Options) -> str | None:
    url = _database_url(options)
    return None if url is None else database_of(url)


def _database_url(options: Options) -> str | None:
    url = _url(options.url, options.url_file, os.environ, surroundings.URL_VARIABLE)
    return None if url is None else absolute_url(url, Path.cwd())


def _url(given: str | None, file: Path | None, environment: Mapping[str, str], variable: str) -> str | None:
    if given is not None:
        return checked_url(given.strip())
    if file is not None:
        try:
            return checked_url(file.read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ManifestError(f"{file} cannot be read: {error.strerror}.") from error
    return checked_url(environment.get(variable, "").strip()) or None


def _steps(manifest: Manifest, around: Surroundings, folder: Path) -> Steps:
    return Steps(folder / "steps", around.python, environment_of_steps(manifest, os.environ))


def _verdict(result: Result) -> Exit:
    if result.outcome is Outcome.SUCCEEDED:
        return Exit.SUCCEEDED
    return Exit.WAITING if classify(result.reason)[1] is ReasonClass.MENDABLE else Exit.FAILED


def _width() -> int:
    return min(shutil.get_terminal_size((120, 24)).columns, 140)
