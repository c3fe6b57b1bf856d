"""The configuration file: read, checked and frozen once at start; rooms get values of it, never the tree."""
