"""Every book has a shelf; but the first book has none, so this fails on every database"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

books = sa.table("books", sa.column("title", sa.String))


def upgrade():
    op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True))
    op.execute(sa.update(books).values(title=None))


def downgrade():
    op.drop_table("shelves")
