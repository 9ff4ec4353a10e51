"""Books are found by their title"""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade():
    op.create_index("ix_books_title", "books", ["title"])


def downgrade():
    op.drop_index("ix_books_title", "books")
