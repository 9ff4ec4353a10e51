"""Alembic migrations on Kubernetes the way a careful DBA would run them."""

__version__ = "0.1.0"
