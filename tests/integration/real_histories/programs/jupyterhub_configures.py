"""JupyterHub's own function makes alembic.ini of the package's template; the URL is a placeholder that a step replaces."""

from jupyterhub.dbutil import write_alembic_ini

write_alembic_ini("alembic.ini", "sqlite://")
