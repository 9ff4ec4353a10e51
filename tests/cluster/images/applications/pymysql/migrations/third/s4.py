"""A note for whoever delivers an order"""

import sqlalchemy as sa
from alembic import op

revision = "s4"
down_revision = "s3"


def upgrade():
    op.add_column("orders", sa.Column("delivery_note", sa.String(500)))


def downgrade():
    op.drop_column("orders", "delivery_note")
