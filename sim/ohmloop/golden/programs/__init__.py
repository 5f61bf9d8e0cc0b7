"""Programs of the chip, as source; :func:`ohmloop.golden.assembler.program` assembles them by name."""
