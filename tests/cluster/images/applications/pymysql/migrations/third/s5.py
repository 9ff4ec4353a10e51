"""A name is of one customer: which is wrong, for two have the same, and so this fails, at its only statement"""

from alembic import op

revision = "s5"
down_revision = "s4"


def upgrade():
    op.create_unique_constraint("a_name_is_of_one_customer", "customers", ["name"])


def downgrade():
    op.drop_constraint("a_name_is_of_one_customer", "customers", type_="unique")
