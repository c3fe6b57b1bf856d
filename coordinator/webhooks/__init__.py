"""Webhooks on access: messages to chats and programs, and the answers that come back."""
