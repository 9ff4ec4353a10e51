"""Every customer has a tier, the good ones gold

Revision ID: 11a
Revises: 10c
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "11a"
down_revision = "10c"
branch_labels = None
depends_on = None

GOLD_CENTS = 100_000
customers = sa.table("customers", sa.column("id", sa.Integer), sa.column("tier", sa.String))
orders = sa.table("orders", sa.column("customer_id", sa.Integer), sa.column("total_cents", sa.Integer))


def upgrade() -> None:
    # A constant default does not rewrite the table, and the rows that differ are few.
    op.add_column("customers", sa.Column("tier", sa.String(16), nullable=False, server_default="standard"))
    good = (
        sa.select(orders.c.customer_id)
        .group_by(orders.c.customer_id)
        .having(sa.func.sum(orders.c.total_cents) >= GOLD_CENTS)
    )
    op.execute(sa.update(customers).where(customers.c.id.in_(good)).values(tier="gold"))


def downgrade() -> None:
    op.drop_column("customers", "tier")
