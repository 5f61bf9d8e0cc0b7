"""Vector registers, banked by lanes."""
