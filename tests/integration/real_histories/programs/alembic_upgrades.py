"""Alembic itself, without the runner: what `alembic upgrade` with this file and URL does."""

import sys

from alembic import command
from alembic.config import Config

config_file, url, target = sys.argv[1:]
config = Config(config_file)
config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
command.upgrade(config, target)
