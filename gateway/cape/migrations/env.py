"""What Alembic runs for each command, on the connection and in the transaction of `database.Database.upgrade`."""

from alembic import context

from gateway.cape.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's, too: the caller has begun a real transaction.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
