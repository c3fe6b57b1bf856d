"""REST API v1, as the command line and existing tools speak it: one module a noun, shapes in `views`."""
