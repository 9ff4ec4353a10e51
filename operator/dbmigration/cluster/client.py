"""The connection to the API server: from the service account inside a cluster, from a kubeconfig outside.

It must not know what is asked over it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yaml
from kubernetes.aio import client, config

from dbmigration import __version__
from dbmigration.cluster.errors import Unconfigured
from dbmigration.cluster.kubeconfig import read_contexts

USER_AGENT = f"dbmigration-operator/{__version__}"
_CONNECTIONS = 32
_REMEDY = "Set KUBECONFIG to one that leads to your cluster."


@asynccontextmanager
async def open_client(kubeconfig: str | None = None) -> AsyncIterator[Any]:
    """Give an API client, and close its sessions afterwards (one that is left open complains at exit).

    Raises Unconfigured where there is no usable configuration.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            paths = kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION
            _insist_on_a_file(paths)
            current = read_contexts(paths).current or None
            await config.load_kube_config(config_file=kubeconfig, context=current, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise Unconfigured(f"The kubeconfig cannot be used: {str(error).rstrip('.')}. {_REMEDY}") from None
    except (yaml.YAMLError, AttributeError, TypeError) as error:  # the client's words for what is no kubeconfig at all
        raise Unconfigured(f"The file is no kubeconfig ({type(error).__name__} when it was read). {_REMEDY}") from None
    configuration.connection_pool_maxsize = _CONNECTIONS
    # Left to itself the client's HTTP library asks the environment for a proxy, and a .netrc for a password, before every
    # request, each in a thread: more than the request itself takes.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy_of_the_environment(configuration.host)
    # From 3.13 on, Python refuses by default the certificates of many a cluster, which name no key of their authority.
    # Chain and host name are verified as ever.
    configuration.disable_strict_ssl_verification = True
    api = client.ApiClient(configuration)
    api.user_agent = USER_AGENT
    try:
        yield api
    finally:
        await api.close()


def _insist_on_a_file(paths: str) -> None:
    """The client takes files that are not there for an empty one, and would miss a key in it."""
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise Unconfigured(f"There is no kubeconfig at {paths}. {_REMEDY}")


def _proxy_of_the_environment(server: str) -> str | None:
    """HTTPS_PROXY and NO_PROXY, as kubectl reads them."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
