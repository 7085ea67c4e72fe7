"""Accounts, functions, tokens and device codes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelt out rather than taken from the schema, which will change when this step must not.
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "accounts",
        sa.Column("username", sa.String(39), nullable=False),
        sa.Column("username_key", sa.String(39), nullable=False),
        sa.Column("owner_public_key", sa.LargeBinary, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("username", name="pk_accounts"),
        sa.UniqueConstraint("username_key", name="uq_accounts_username_key"),
    )
    op.create_table(
        "functions",
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("owner", sa.String(39), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("deployed_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_functions"),
        sa.ForeignKeyConstraint(["owner"], ["accounts.username"], name="fk_functions_owner"),
    )
    op.create_index(
        "ix_functions_owner_name_deployed_version", "functions", ["owner", "name", "deployed_version"], unique=True
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("owner", sa.String(39), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("function_id", sa.String(22)),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.Column("revoked_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["owner"], ["accounts.username"], name="fk_tokens_owner"),
    )
    op.create_index("ix_tokens_owner", "tokens", ["owner"])
    op.create_table(
        "device_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("user_code", sa.String(9), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("interval", sa.Integer, nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("access_token", sa.Text),
        sa.Column("id_token", sa.Text),
        sa.Column("last_poll_at", _MOMENT),
        sa.PrimaryKeyConstraint("code_hash", name="pk_device_codes"),
        sa.UniqueConstraint("user_code", name="uq_device_codes_user_code"),
        sa.CheckConstraint("status IN ('pending', 'approved', 'denied')", name="status"),
    )
    op.create_index("ix_device_codes_expires_at", "device_codes", ["expires_at"])


def downgrade() -> None:
    """Drop them, with all that they hold."""
    for table in ("device_codes", "tokens", "functions", "accounts"):
        op.drop_table(table)
