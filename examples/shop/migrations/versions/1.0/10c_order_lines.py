"""Order lines, and one for every order that was placed before there were any

Revision ID: 10c
Revises: 10b
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "10c"
down_revision = "10b"
branch_labels = None
depends_on = None

orders = sa.table("orders", sa.column("id", sa.Integer), sa.column("total_cents", sa.Integer))


def upgrade() -> None:
    lines = op.create_table(
        "order_lines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("sku", sa.String(64), nullable=False, index=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_cents", sa.Integer, nullable=False),
        sa.CheckConstraint("quantity > 0", name="quantity_is_positive"),
    )
    op.execute(
        sa.insert(lines).from_select(
            ["order_id", "sku", "quantity", "unit_cents"],
            sa.select(orders.c.id, sa.literal("unknown"), sa.literal(1), orders.c.total_cents),
        )
    )


def downgrade() -> None:
    op.drop_table("order_lines")
