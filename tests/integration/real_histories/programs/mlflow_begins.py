"""The tables that MLflow makes before its first revision: the first half of what it does with an empty database."""

import sys

from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

Base.metadata.create_all(create_engine(sys.argv[1]))
