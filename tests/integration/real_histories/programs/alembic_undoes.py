"""Reads each downgrade() as the runner would, and has Alembic undo it: what was read, and what became of tables and columns.

One JSON line a revision, from the head down, until one fails. PYTHONPATH leads to the runner.
"""

import json
import sys

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from dbmigration_runner.checks.reversal import reversal
from dbmigration_runner.engines import engine_for, read_catalog

config_file, url = sys.argv[1:]
config = Config(config_file)
config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
scripts = ScriptDirectory.from_config(config)
engine = engine_for(url)


def names() -> set[str]:
    """Tables and columns that are there."""
    with engine.connect() as session:
        lines = [line.split(" ") for line in read_catalog(engine, session).items]
    return {line[1].removeprefix("public.") for line in lines if line[0] in {"table", "column"}}


undone = True
for script in scripts.walk_revisions():
    read = reversal(script, "postgresql")
    before = names()
    if undone:
        try:
            command.downgrade(config, str(script.down_revision or "base"))
        except Exception as error:  # noqa: BLE001  # whatever a revision raises
            print(f"{script.revision}: {error!r}", file=sys.stderr)
            undone = False
    gone = sorted(before - names()) if undone else None
    renamed = [str(old) for old, _ in read.renamed]
    print(
        json.dumps(
            {
                "revision": script.revision,
                "kind": read.kind.value,
                "drops": [str(drop) for drop in read.drops],
                "absent": [str(drop) for drop in read.drops if str(drop) not in before],
                "unclear": read.unclear,
                "renamed": renamed,
                "gone": gone,
            }
        )
    )
