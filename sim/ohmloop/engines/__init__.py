"""Ways to run a program: golden model, Icarus, Verilator."""
