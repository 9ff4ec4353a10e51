"""An index for the list of open orders, built while orders come in

Revision ID: 11b
Revises: 11a
"""

from __future__ import annotations

from alembic import op

revision = "11b"
down_revision = "11a"
branch_labels = None
depends_on = None

INDEX = "ix_orders_status_placed_at"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(INDEX, "orders", ["status", "placed_at"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, "orders", postgresql_concurrently=True)
