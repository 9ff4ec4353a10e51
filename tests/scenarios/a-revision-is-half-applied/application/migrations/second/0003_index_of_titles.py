"""Readers are known, and titles are forgotten; but every book must have one, so this fails behind its first statement"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

books = sa.table("books", sa.column("title", sa.String))


def upgrade():
    op.create_table("readers", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(80)))
    op.execute(sa.update(books).values(title=None))


def downgrade():
    op.drop_table("readers")
