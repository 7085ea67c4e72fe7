"""Which root secret the accounts' records belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, which has one row at most."""
    op.create_table(
        "account_root",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("root", sa.String(32), nullable=False),
        sa.CheckConstraint("id = 1", name="one"),
    )


def downgrade() -> None:
    """Forget it; gateways of this release find it again."""
    op.drop_table("account_root")
