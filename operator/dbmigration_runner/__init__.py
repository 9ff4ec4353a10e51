"""The program inside the Jobs: it plans, backs up, migrates and looks, one task a process, and reports.

Runs in the application's own image with nothing but the standard library, SQLAlchemy and Alembic beside it.
It must know nothing of Kubernetes, of the operator or of the lifecycle: a task comes in, a result goes out.
"""

__version__ = "0.1.0"
