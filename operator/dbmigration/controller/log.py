"""The operator's own log: one line an occurrence on stderr, as JSON or as text, and of kopf only what is wrong.

It must not be given anything secret; the operator holds nothing that is.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from dbmigration.settings import LogFormat


def configure(form: LogFormat) -> None:
    """Set the process' logging up, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json() if form is LogFormat.JSON else _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # kopf tells of every event that a handler took it, and aiohttp of every probe.
    for name in ("kopf", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _Text(logging.Formatter):
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
