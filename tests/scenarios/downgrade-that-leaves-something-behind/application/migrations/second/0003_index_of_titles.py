"""Books are found by their title"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.create_index("ix_books_title", "books", ["title"])
    op.create_table("readers", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_index("ix_books_title", "books")
