"""Alembic asks for this file; migrations are run by `coordinator.store.migrate`, never through it."""
