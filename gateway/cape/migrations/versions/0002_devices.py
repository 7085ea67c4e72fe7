"""Which device asks to be let in, and as whom."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the owner is shown before a decision."""
    op.add_column("device_codes", sa.Column("device_name", sa.String(64)))
    op.add_column("device_codes", sa.Column("address", sa.String(64)))
    op.add_column("device_codes", sa.Column("account", sa.String(39)))


def downgrade() -> None:
    """Forget it."""
    for column in ("account", "address", "device_name"):
        op.drop_column("device_codes", column)
