"""Hosting Cape functions: accounts, sessions, and the processes that run them."""
