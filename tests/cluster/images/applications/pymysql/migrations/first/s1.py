"""Customers"""

import sqlalchemy as sa
from alembic import op

revision = "s1"
down_revision = None


def upgrade():
    customers = op.create_table(
        "customers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("name", sa.String(200), nullable=False),
    )
    op.bulk_insert(customers, [{"email": "counter@shop.example", "name": "Zoë at the counter 🛒"}])


def downgrade():
    op.drop_table("customers")
