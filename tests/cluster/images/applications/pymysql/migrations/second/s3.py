"""Every customer has a tier"""

import sqlalchemy as sa
from alembic import op

revision = "s3"
down_revision = "s2"


def upgrade():
    op.add_column("customers", sa.Column("tier", sa.String(16), nullable=False, server_default="standard"))
    op.create_index("ix_customers_tier", "customers", ["tier"])


def downgrade():
    op.drop_index("ix_customers_tier", "customers")
    op.drop_column("customers", "tier")
