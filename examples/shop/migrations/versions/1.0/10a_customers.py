"""Customers, the first of whom is the counter

Revision ID: 10a
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "10a"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    customers = op.create_table(
        "customers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("phone", sa.String(40)),
        sa.Column("created_at", sa.DateTime, nullable=False, server_default=sa.func.current_timestamp()),
    )
    op.bulk_insert(customers, [{"email": "counter@shop.example", "name": "Counter"}])


def downgrade() -> None:
    op.drop_table("customers")
