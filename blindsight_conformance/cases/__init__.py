"""The cases, one module for each group. `add(book)` adds the cases of a group to the book."""
