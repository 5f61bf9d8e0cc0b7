"""The analogue macro: its pins, its bodies, its contract."""
