"""The audit log: who changed what, from where and why, as a chain that shows when somebody rewrote it.

Entries are made by the commands of the single writer (`tailnet.directory.Directory.audit`), sealed into the
chain by the store in the transaction of the change itself, and carried out of the database by sinks.
"""
