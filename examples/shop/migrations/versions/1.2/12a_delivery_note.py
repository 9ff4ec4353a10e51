"""A note for whoever delivers an order

Revision ID: 12a
Revises: 11b
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "12a"
down_revision = "11b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("delivery_note", sa.String(500)))


def downgrade() -> None:
    op.drop_column("orders", "delivery_note")
