"""The verbs of the product: what shells (`web`, `control`) ask for, and the tasks that run by themselves.

One module per noun. Everything durable goes through the single writer in `tailnet`.
"""
