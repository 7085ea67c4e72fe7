"""Half an hour at saturation: memory, descriptors and threads stay as they are, and no answer is wrong."""
