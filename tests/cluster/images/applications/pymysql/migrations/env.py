"""An env.py that finds its database in parts, as a twelve-factor application does."""

import os

from alembic import context
from sqlalchemy import URL, create_engine, pool

url = URL.create(
    "mysql+pymysql",
    username=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"],
    host=os.environ["DB_HOST"],
    port=int(os.environ["DB_PORT"] or 3306),
    database=os.environ["DB_NAME"],
    query={"charset": "utf8mb4"},
)
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
