"""Books"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    books = op.create_table(
        "books",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
    )
    op.bulk_insert(books, [{"title": "The Art of the Fugue"}])


def downgrade():
    op.drop_table("books")
