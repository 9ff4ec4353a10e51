"""The configuration files of containerd, its network, kubelet, kube-proxy and CoreDNS, written from the layout."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.embedded import network
from tests.cluster.embedded.layout import NODE_NAME, Layout

PAUSE_IMAGE = "dbmigration-test/pause:1"

_HOST_RESOLVER = Path("/etc/resolv.conf")
_CNI_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files, as their programs are pointed to them."""

    containerd: Path
    containerd_alone: Path  # without the service for kubelet, to tidy the image store
    kubelet: Path
    kube_proxy: Path
    coredns: Path


def write(
    layout: Layout, *, client_ca: Path, kubelet_certificate: Path, kubelet_key: Path, admin: Path
) -> Configuration:
    """Write every file; `admin` is the kubeconfig of the programs that may do everything."""
    folder = layout.configuration
    network_folder = folder / "cni"
    network_folder.mkdir(parents=True)
    (network_folder / "10-pods.conflist").write_text(json.dumps(_pod_network(layout)), encoding="utf-8")
    resolver = folder / "resolv.conf"
    resolver.write_text("", encoding="utf-8")

    configuration = Configuration(
        folder / "containerd.toml",
        folder / "containerd-alone.toml",
        folder / "kubelet.yaml",
        folder / "kube-proxy.yaml",
        folder / "Corefile",
    )
    configuration.containerd_alone.write_text(_containerd(layout, "io.containerd.grpc.v1.cri"), encoding="utf-8")
    for_kubelet = _containerd(layout, "io.containerd.internal.v1.opt") + _containerd_for_kubelet(layout, network_folder)
    configuration.containerd.write_text(for_kubelet, encoding="utf-8")
    kubelet = _kubelet(layout, client_ca, kubelet_certificate, kubelet_key, resolver)
    configuration.kubelet.write_text(yaml.safe_dump(kubelet), encoding="utf-8")
    configuration.kube_proxy.write_text(yaml.safe_dump(_kube_proxy(admin)), encoding="utf-8")
    configuration.coredns.write_text(_corefile(admin), encoding="utf-8")
    return configuration


def _pod_network(layout: Layout) -> dict[str, object]:
    return {
        "cniVersion": "0.4.0",
        "name": layout.name,
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.state / "addresses"),
                    "ranges": [[{"subnet": network.POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def _containerd(layout: Layout, disabled: str) -> str:
    return textwrap.dedent(f"""\
        version = 2
        root = "{layout.image_store}"
        state = "{layout.state}/containerd"
        disabled_plugins = ["{disabled}"]

        [grpc]
          address = "{layout.containerd_socket}"
        """)


def _containerd_for_kubelet(layout: Layout, network_folder: Path) -> str:
    plugins = next((folder for folder in _CNI_PLUGINS if Path(folder, "ptp").exists()), _CNI_PLUGINS[0])
    # Without restrict_oom_score_adj every sandbox dies where root lacks CAP_SYS_RESOURCE: "can't get final child's PID".
    return textwrap.dedent(f"""
        [plugins."io.containerd.grpc.v1.cri"]
          sandbox_image = "docker.io/{PAUSE_IMAGE}"
          restrict_oom_score_adj = true
          netns_mounts_under_state_dir = true

          [plugins."io.containerd.grpc.v1.cri".cni]
            bin_dir = "{plugins}"
            conf_dir = "{network_folder}"

          [plugins."io.containerd.grpc.v1.cri".containerd]
            snapshotter = "overlayfs"
            default_runtime_name = "runc"

            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
              runtime_type = "io.containerd.runc.v2"

              [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
                SystemdCgroup = false
                Root = "{layout.state}/runc"
        """)


def _kubelet(layout: Layout, client_ca: Path, certificate: Path, key: Path, resolver: Path) -> dict[str, object]:
    endpoint = f"unix://{layout.containerd_socket}"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE_ADDRESS,
        "port": 10250,
        "healthzPort": 0,
        "readOnlyPort": 0,
        "authentication": {
            "x509": {"clientCAFile": str(client_ca)},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": endpoint,
        "imageServiceEndpoint": endpoint,
        "clusterDNS": [network.NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        "makeIPTablesUtilChains": False,
        # A test machine's disk is often fuller than the thresholds of production, and an evicted Pod fails a test.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(layout.pod_logs),
        "volumePluginDir": str(layout.volume_plugins),
    }


def _kube_proxy(admin: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": network.NODE_ADDRESS,
        "clientConnection": {"kubeconfig": str(admin)},
        "clusterCIDR": network.POD_RANGE,
        "conntrack": {"maxPerCore": 0},
        "hostnameOverride": NODE_NAME,
        "nftables": {"minSyncPeriod": "100ms"},
    }


def _corefile(admin: Path) -> str:
    upstream = "nameserver" in _HOST_RESOLVER.read_text(encoding="utf-8") if _HOST_RESOLVER.exists() else False
    return textwrap.dedent(f"""\
        . {{
            bind {network.NODE_ADDRESS}
            errors
            kubernetes cluster.local {{
                kubeconfig {admin}
                ttl 0
            }}
            {f"forward . {_HOST_RESOLVER}" if upstream else ""}
        }}
        """)
