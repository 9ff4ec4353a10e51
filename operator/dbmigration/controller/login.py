"""How kopf gets its credentials, from where our own client gets them.

After a 401 kopf asks again, and ends the process where it is given the same token: a token that is not rotated yet is waited
for. It must not keep a credential.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import ssl
from typing import Any

import kopf

logger = logging.getLogger(__name__)


class _Connection(kopf.ConnectionInfo):
    """As our own client's: from 3.13 on, Python refuses by default what many a cluster's certificates are."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Chain and host name are verified as ever."""
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def register(registry: kopf.OperatorRegistry, kubeconfig: str | None) -> None:
    """Answer kopf's question for credentials."""
    last: list[str] = []  # digests of the tokens that were given

    @kopf.on.login(registry=registry)
    def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        inside = kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ
        found = (
            kopf.login_with_service_account(settings=settings)
            if inside
            else kopf.login_with_kubeconfig(settings=settings)
        )
        token = found.token if found is not None else None
        if token:
            digest = hashlib.sha256(token.encode()).hexdigest()
            if last and last[-1] == digest:
                raise kopf.TemporaryError("The API server refuses the token, and there is no newer one yet.", delay=1)
            last[:] = [digest]
        if found is None:
            return None
        return _Connection(**{item.name: getattr(found, item.name) for item in dataclasses.fields(found)})
