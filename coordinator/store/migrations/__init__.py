"""Schema changes in order; `coordinator.store.migrate` applies them."""
