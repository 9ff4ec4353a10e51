"""Shelves"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True), sa.Column("room", sa.String(40)))
    op.execute("INSERT INTO shelves (id, room) VALUES (1, 'Attic')")


def downgrade():
    op.drop_table("shelves")
