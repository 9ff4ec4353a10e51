"""The operator's rights are what it uses: nothing that it asks for is refused, and nothing is granted that it never asks for."""

from __future__ import annotations

import yaml

from dbmigration.lifecycle.workload_names import job_name
from dbmigration_runner.contract.task import StepKind
from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.audit import Asked
from tests.cluster.embedded import catalog
from tests.cluster.installation import ACCOUNT, NAME, RELEASE, SYSTEM, at_rest, helm
from tests.cluster.operator.history import CREATE_ORDERS, FAIL, chain
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.stage import Stage
from tests.packaging.rendered import rights

SLOW = CREATE_ORDERS + '\nop.execute("SELECT pg_sleep(12)")'


def granted(cluster: Cluster) -> set[tuple[str, str, str]]:
    """API group, resource and verb of every rule that the installed chart gives to the operator."""
    rendered = helm(cluster, "get", "manifest", RELEASE, "--namespace", SYSTEM)
    documents = [document for document in yaml.safe_load_all(rendered) if document]
    return {(group, resource, verb) for _where, group, resource, verb in rights(documents, f"{SYSTEM}/{NAME}")}


def asked_since(cluster: Cluster, begin: int) -> set[Asked]:
    return cluster.audit.asked(begin, cluster.audit.moment(), user=ACCOUNT)


def test_every_right_is_used_and_none_is_missed(cluster: Cluster, operator: Namespace, stage: Stage):
    begin = cluster.audit.moment()

    # An operator that finds no Lease makes it; one that takes over from another finds it.
    with at_rest(operator):
        operator.kubectl("delete", "lease", NAME)

    # Why a Pod does not start is told by Events alone.
    stage.scripts(*chain(SLOW))
    stage.namespace.kubectl("delete", "secret", "database")
    stage.apply()
    stage.until("SecretNotFound")

    # A Job that bears a step's name is read before anything is said of it.
    stage.apply("taken", suspend=True)
    stage.until("Suspended", "taken")
    taken = job_name("taken", stage.resource("taken")["metadata"]["uid"], 1, StepKind.PLAN, 1)
    stage.namespace.kubectl("create", "job", taken, "--image=registry.invalid/somebody-elses:1")
    stage.apply("taken")
    stage.until("PodRejected", "taken")
    stage.namespace.kubectl("delete", "dbm/taken", f"job/{taken}")

    # An edit supersedes the run, whose Job goes.
    stage.secret(name="another")
    stage.apply(database={"urlFrom": {"secretKeyRef": {"name": "another", "key": "url"}}})

    # A migration that is deleted meanwhile is held by a finalizer, and read along in its log; its Jobs are no owner's.
    eventually(lambda: stage.status().get("progress"), "The migration's progress", timeout=90)
    stage.until("Migrating")
    eventually(
        lambda: any(asked.resource == "pods/log" for asked in asked_since(cluster, begin)),
        "A look at the migration's log",
    )
    stage.namespace.kubectl("delete", "dbm/shop", "--wait=false")
    eventually(lambda: not stage.namespace.kubectl("get", "dbm,jobs", "--output", "name"), "The end of it all")

    # A failure whose backup is restored with both kinds of workloads drained, and a wish to try again.
    stage.scripts(*chain("pass", FAIL), name="broken")
    stage.psql("DROP TABLE IF EXISTS orders, alembic_version")
    stage.secret()
    image = cluster.image(catalog.TOOLS)
    idlers = [Idler(stage.namespace, image, f"a-{kind.lower()}", kind) for kind in ("Deployment", "StatefulSet")]
    for idler in idlers:
        idler.start()
    stage.apply(
        "broken",
        migrations={"source": {"configMap": {"name": "broken"}}},
        rollback={"onFailure": "Restore", "acceptDataLoss": True},
        drain={"workloads": [idler.drain for idler in idlers]},
    )
    stage.until("RolledBack", "broken", timeout=180)
    assert [idler.size[0] for idler in idlers] == [1, 1]
    stage.namespace.kubectl("annotate", "dbm/broken", "dbmigration.io/retry=again")
    eventually(lambda: stage.status("broken")["run"]["number"] == 2, "The second run")
    stage.until("RolledBack", "broken", timeout=180)

    # An order for a resource that is not there is told so.
    order = {"migrationRef": {"name": "nobody"}, "backup": "nothing"}
    kind = {"apiVersion": "dbmigration.io/v1alpha1", "kind": "DatabaseRestore", "metadata": {"name": "back"}}
    stage.namespace.apply({**kind, "spec": order})
    eventually(lambda: stage.namespace.get("dbr", "back")["status"].get("conditions"), "A word to the order")

    asked = asked_since(cluster, begin)
    assert {request for request in asked if not request.allowed} == set()
    used = {(request.group, request.resource, request.verb) for request in asked}
    assert granted(cluster) - used == set()
    assert used - granted(cluster) == set()
