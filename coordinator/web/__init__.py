"""The shell for people and scripts: public pages, and the API behind the command line."""
