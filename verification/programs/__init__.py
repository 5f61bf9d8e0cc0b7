"""What the programs of the chip achieve, over many systems."""
