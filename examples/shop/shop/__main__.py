"""The shop on the web: GET /healthz asks the database, POST /orders sells one thing over the counter."""

from __future__ import annotations

import os
import signal
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sqlalchemy import create_engine, insert, text
from sqlalchemy.exc import SQLAlchemyError

from shop.models import Order

COUNTER = 1
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shop.db"), pool_pre_ping=True)


class Shop(BaseHTTPRequestHandler):
    """One request, one transaction."""

    def do_GET(self) -> None:  # named by http.server
        """Say whether the database answers."""
        self._answer("/healthz", HTTPStatus.OK, lambda connection: connection.execute(text("SELECT 1")))

    def do_POST(self) -> None:  # named by http.server
        """Place an order, by the columns that every release has."""
        order = insert(Order.__table__).values(customer_id=COUNTER, total_cents=990)
        self._answer("/orders", HTTPStatus.CREATED, lambda connection: connection.execute(order))

    def _answer(self, path, success, act) -> None:
        status = HTTPStatus.NOT_FOUND
        if self.path == path:
            try:
                with engine.begin() as connection:
                    act(connection)
                status = success
            except SQLAlchemyError:
                status = HTTPStatus.SERVICE_UNAVAILABLE
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet: the probes would be all that is read."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", 8000), Shop).serve_forever()


if __name__ == "__main__":
    main()
