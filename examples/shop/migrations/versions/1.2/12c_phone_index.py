"""Customers are found by their phone

Revision ID: 12c
Revises: 12b
"""

from __future__ import annotations

from alembic import op

revision = "12c"
down_revision = "12b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_customers_phone", "customers", ["phone"])


def downgrade() -> None:
    op.drop_index("ix_customers_phone", "customers")
