"""What the Pod Security Standard `restricted` says of a Pod, without a cluster to ask. It must not know whose Pod it is."""

from typing import Any


def restricted_violations(pod: dict[str, Any]) -> list[str]:
    """Why the Pod Security Standard `restricted` would refuse this Pod spec."""
    broken = [field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    broken += [
        f"volume {volume['name']}" for volume in pod.get("volumes", []) if not (volume.keys() - {"name"}) <= allowed
    ]
    shared = pod.get("securityContext", {})
    for container in pod.get("initContainers", []) + pod["containers"]:
        own = shared | container.get("securityContext", {})
        capabilities = own.get("capabilities", {})
        checks = {
            "runAsNonRoot": own.get("runAsNonRoot") is True and own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"},
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "privileged": not own.get("privileged"),
            "capabilities": capabilities.get("drop") == ["ALL"]
            and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        broken += [f"{container['name']}: {name}" for name, holds in checks.items() if not holds]
    return broken
