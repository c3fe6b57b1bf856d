"""Rows: one schema for SQLite and PostgreSQL, migrations, one transaction a batch.

Turns `tailnet.state` values into rows and back. Knows no rules; the services decide, this room remembers.
"""
