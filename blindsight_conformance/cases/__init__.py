"""The cases, a module for each group: `add(book)` adds a group's."""
