"""The driver: registers and programs as a host sees them."""
