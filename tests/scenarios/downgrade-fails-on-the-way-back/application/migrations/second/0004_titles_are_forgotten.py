"""Titles are forgotten; but every book must have one, so this fails on every database"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

books = sa.table("books", sa.column("title", sa.String))


def upgrade():
    op.execute(sa.update(books).values(title=None))


def downgrade():
    pass
