"""Step 2 of a widget shop"""

import sqlalchemy as sa
from alembic import op

revision = "w2"
down_revision = "w1"


def upgrade():
    op.create_table("widgets_2", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("widgets_2")
