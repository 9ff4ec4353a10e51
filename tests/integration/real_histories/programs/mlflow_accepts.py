"""MLflow's tracking store opens the database, which it refuses at any other revision, and tells the experiments in it."""

import sys

from mlflow.store.db.utils import _verify_schema
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import create_engine

_verify_schema(create_engine(sys.argv[1]))
print(*sorted(found.name for found in SqlAlchemyStore(sys.argv[1], "/nowhere").search_experiments()), sep="\n")
