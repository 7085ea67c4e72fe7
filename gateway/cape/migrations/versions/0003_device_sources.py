"""Where a device asked from, as what counts as one caller."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the codes of one caller are counted by."""
    op.add_column("device_codes", sa.Column("source", sa.String(64)))
    op.create_index("ix_device_codes_source", "device_codes", ["source"])


def downgrade() -> None:
    """Forget it."""
    op.drop_index("ix_device_codes_source", "device_codes")
    op.drop_column("device_codes", "source")
