"""JupyterHub's ORM opens the database, which it refuses at any other revision, and tells the users and groups in it."""

import sys

from jupyterhub import orm

with orm.new_session_factory(sys.argv[1])() as session:
    print(*sorted(user.name for user in session.query(orm.User)), sep="\n")
