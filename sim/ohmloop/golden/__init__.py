"""The golden machine: what the chip must do, bit for bit and clock for clock."""
