"""Ohmloop gateware: the digital half of a closed-loop analogue in-memory solver, in Amaranth."""
