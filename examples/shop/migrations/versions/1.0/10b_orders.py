"""Orders

Revision ID: 10b
Revises: 10a
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "10b"
down_revision = "10a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id"), nullable=False, index=True),
        sa.Column("status", sa.String(16), nullable=False, server_default="open"),
        sa.Column("total_cents", sa.Integer, nullable=False, server_default="0"),
        sa.Column("placed_at", sa.DateTime, nullable=False, server_default=sa.func.current_timestamp()),
        sa.CheckConstraint("total_cents >= 0", name="total_is_not_negative"),
    )


def downgrade() -> None:
    op.drop_table("orders")
