"""Step 1 of a widget shop"""

import sqlalchemy as sa
from alembic import op

revision = "w1"
down_revision = None


def upgrade():
    op.create_table("widgets_1", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("widgets_1")
