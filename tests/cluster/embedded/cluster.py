"""One cluster's life: what is started in which order, what is waited for, and how nothing of it stays.

A start begins with the removal of whatever a killed run left, so that it never depends on how the last one ended.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.cluster.embedded import (
    api,
    binaries,
    cache,
    cgroups,
    configuration,
    images,
    layout,
    mounts,
    network,
    programs,
)
from tests.cluster.embedded.certificates import Authority, KeyPair
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.embedded.layout import NODE_NAME, Layout
from tests.cluster.embedded.processes import Process, Processes, wait_until

_ETCD_CLIENTS = "http://127.0.0.1:23790"
_ETCD_PEERS = "http://127.0.0.1:23800"
_LONGEST_ROOT = 63


class EmbeddedCluster:
    """The cluster of the current cache folder; at most one runs on a machine."""

    def __init__(self) -> None:
        self.layout: Layout = layout.current()
        self.processes = Processes(self.layout.records, self.layout.logs)

    @property
    def is_up(self) -> bool:
        """Whether everything that was started still runs."""
        running = [process.is_running for process in self.processes.recorded()]
        return self.layout.kubeconfig.exists() and bool(running) and all(running)

    def up(self) -> None:
        """Start a fresh cluster and wait until a Pod could run; raises ClusterError, and then leaves nothing."""
        _check_the_machine(self.layout.root)
        binaries.build(binaries.KUBERNETES)
        binaries.build(binaries.COREDNS)
        programs.need_for_the_node()
        pause = images.archive_of_pause()
        with cache.lock("cluster"):
            self._sweep()
            mounts.remove_tree(self.layout.logs)
            try:
                self._start(pause)
            except BaseException:
                self._sweep()
                raise

    def down(self) -> None:
        """Leave nothing of the cluster but its logs and loaded images, in whatever state it is."""
        if not self.layout.root.exists():
            return
        _check_the_machine(self.layout.root)
        with cache.lock("cluster"):
            self._sweep()

    def load(self, archive: Path) -> None:
        """Put the image of an archive into the node, unless it is the one that the node has."""
        mark = self.layout.image_store / "loaded" / archive.name.partition("@")[0]
        with cache.lock("load"):
            if mark.exists() and mark.read_text(encoding="utf-8") == archive.name:
                return
            self._ctr("images", "import", archive)
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(archive.name, encoding="utf-8")

    def stop(self, component: str) -> None:
        """Kill one of its processes, as a fault would."""
        self.processes.get(component).kill()

    def start(self, component: str) -> Process:
        """Start a stopped process again, as it was; its caller waits for what it needs of it."""
        return self.processes.start_again(component)

    def _start(self, pause: Path) -> None:
        state = self.layout.state
        for folder in (self.layout.logs, self.layout.volumes, self.layout.pod_logs):
            folder.mkdir(parents=True)
        network.create()
        cgroups.create(self.layout.name)
        control = _ControlPlane(self.layout)
        files = configuration.write(
            self.layout,
            client_ca=control.authority.pair.certificate,
            kubelet_certificate=control.node_server.certificate,
            kubelet_key=control.node_server.key,
            admin=control.kubeconfig("admin", control.admin),
        )

        self._run("etcd", f"--data-dir={state}/etcd", f"--client-url={_ETCD_CLIENTS}", f"--peer-url={_ETCD_PEERS}")
        self._run("kube-apiserver", *control.api_server())
        if self.layout.image_store.exists():
            self._start_containerd(files.containerd_alone)
            self._forget_containers()
        self._start_containerd(files.containerd)
        self.load(pause)
        wait_until(control.api.is_ready, "The API server", self.processes)

        self._run("kube-controller-manager", *control.controller_manager())
        self._run("kube-scheduler", *control.scheduler())
        self._run(
            "kubelet",
            f"--config={files.kubelet}",
            f"--kubeconfig={control.kubeconfig('kubelet', control.node)}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={network.NODE_ADDRESS}",
            f"--root-dir={state}/kubelet",
            f"--cert-dir={state}/kubelet-certificates",
        )
        self._run("kube-proxy", f"--config={files.kube_proxy}")
        self.processes.start(
            "coredns",
            binaries.COREDNS.path,
            "-conf",
            files.coredns,
            "-dns.port",
            "53",
            "-pidfile",
            state / "coredns.pid",
        )
        wait_until(lambda: control.api.node_is_ready(NODE_NAME), "A ready node", self.processes)
        wait_until(lambda: api.name_resolves("kubernetes.default.svc.cluster.local"), "Cluster DNS", self.processes)
        wait_until(lambda: control.api.has_service_account("default"), "The default service account", self.processes)
        # Written last: whoever finds it finds a cluster that is up.
        control.authority.kubeconfig(self.layout.kubeconfig, api.SERVER, control.admin)

    def _start_containerd(self, configured: Path) -> None:
        self.processes.start("containerd", programs.find("containerd"), "--config", configured)
        wait_until(self.layout.containerd_socket.exists, "containerd's socket", self.processes)

    def _forget_containers(self) -> None:
        """Leave nothing in the image store but images, and stop: kubelet would look after the last cluster's Pods."""
        if left := self._ctr("containers", "list", "--quiet").split():
            self._ctr("containers", "delete", *left)
        self.processes.get("containerd").kill(signal.SIGTERM)
        self.layout.containerd_socket.unlink(missing_ok=True)
        for kept in ("io.containerd.grpc.v1.cri", "io.containerd.runtime.v2.task"):
            shutil.rmtree(self.layout.image_store / kept, ignore_errors=True)

    def _ctr(self, *arguments: str | Path) -> str:
        return programs.run("ctr", "--address", self.layout.containerd_socket, "--namespace", "k8s.io", *arguments)

    def _run(self, component: str, *flags: str) -> None:
        self.processes.start(component, binaries.KUBERNETES.path, component, *flags)

    def _sweep(self) -> None:
        """End and delete whatever is there of a cluster. Nothing is asked to go gently: there is nothing to save."""
        self.layout.kubeconfig.unlink(missing_ok=True)
        self.processes.kill_all()
        cgroups.remove(self.layout.name)
        for address in self.layout.state.glob("containerd/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text(encoding="utf-8").removeprefix("unix://")).unlink(missing_ok=True)
        mounts.unmount(self.layout.root)
        mounts.remove_tree(self.layout.state)
        network.remove(self.layout.name)
        _remove_what_kubelet_keeps_elsewhere(self.layout)


class _ControlPlane:
    """The identities of one cluster, and the flags of the processes that use them."""

    def __init__(self, files: Layout) -> None:
        self._layout = files
        self.authority = authority = Authority(files.certificates)
        self.admin = authority.client("admin", group="system:masters")
        self.node = authority.client(f"system:node:{NODE_NAME}", group="system:nodes")
        self.node_server = authority.server("kubelet", names=[NODE_NAME], addresses=[network.NODE_ADDRESS])
        self.api = api.Api(authority.pair.certificate, self.admin.certificate, self.admin.key)
        self._tokens_public, self._tokens_private = authority.key_pair("service-accounts")

    def kubeconfig(self, name: str, client: KeyPair) -> Path:
        return self.authority.kubeconfig(self._layout.certificates / f"{name}.kubeconfig", api.SERVER, client)

    def api_server(self) -> Iterator[str]:
        server = self.authority.server(
            "kube-apiserver",
            names=["localhost", *(f"kubernetes{end}" for end in ("", ".default", ".default.svc"))],
            addresses=["127.0.0.1", network.NODE_ADDRESS, network.API_SERVICE_ADDRESS],
        )
        to_kubelet = self.authority.client("kube-apiserver-kubelet-client", group="system:masters")
        authority = self.authority.pair.certificate
        yield from (
            f"--etcd-servers={_ETCD_CLIENTS}",
            f"--bind-address={network.NODE_ADDRESS}",
            "--secure-port=6443",
            f"--advertise-address={network.NODE_ADDRESS}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--service-account-key-file={self._tokens_public}",
            f"--service-account-signing-key-file={self._tokens_private}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={network.SERVICE_RANGE}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            # Without InternalIP, logs and exec try to resolve the node's name.
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--requestheader-client-ca-file={authority}",
            "--requestheader-allowed-names=front-proxy",
            "--enable-admission-plugins=NodeRestriction",
            "--profiling=false",
            f"--audit-policy-file={layout.AUDIT_POLICY}",
            f"--audit-log-path={self._layout.audit_log}",
            # In MB; rotated away, a write would not be counted.
            "--audit-log-maxsize=10000",
        )

    def controller_manager(self) -> Iterator[str]:
        authority = self.authority.pair
        yield from self._controller("kube-controller-manager", 10257)
        yield from (
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self._tokens_private}",
            f"--root-ca-file={authority.certificate}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            f"--flex-volume-plugin-dir={self._layout.volume_plugins}",
            "--horizontal-pod-autoscaler-sync-period=2s",
            # The default of 20 requests a second is for a cluster that is shared; tests would wait for Pods.
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        )

    def scheduler(self) -> Iterator[str]:
        yield from self._controller("kube-scheduler", 10259)

    def _controller(self, name: str, port: int) -> Iterator[str]:
        kubeconfig = self.kubeconfig(name, self.authority.client(f"system:{name}"))
        for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"):
            yield f"--{flag}={kubeconfig}"
        yield from ("--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={port}")


def _remove_what_kubelet_keeps_elsewhere(files: Layout) -> None:
    """Two places that no flag moves. Another kubelet's are told by their content and stay."""
    links = Path("/var/log/containers")
    for link in links.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(files.root):
            link.unlink()
    home = Path("/var/lib/kubelet")
    if home.is_dir() and {item.name for item in home.iterdir()} <= {"device-plugins"}:
        shutil.rmtree(home)
    if links.is_dir() and not any(links.iterdir()):
        links.rmdir()


def whole_session(*, shared: bool = False) -> AbstractContextManager[None]:
    """Held by whoever uses the cluster for longer than one command: nobody takes it down meanwhile."""
    return cache.lock("cluster-session", shared=shared)


def _check_the_machine(root: Path) -> None:
    if os.geteuid() != 0:
        raise ClusterError(
            "The embedded cluster runs containers of its own, which needs root. "
            "Run as root, or set DBMIGRATION_TEST_CLUSTER to kind or context."
        )
    # A socket's path has 107 bytes at most, and the longest below this folder takes 44 of them.
    if len(os.fsencode(root)) > _LONGEST_ROOT:
        raise ClusterError(
            f"The path {root} is too long for sockets below it. Set DBMIGRATION_CACHE_DIR to a shorter one."
        )
