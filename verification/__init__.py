"""Everything that checks the tree."""
