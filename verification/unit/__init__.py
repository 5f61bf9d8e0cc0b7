"""Unit tests: gateware blocks in the Amaranth simulator and model files, mirroring the tree they check."""
