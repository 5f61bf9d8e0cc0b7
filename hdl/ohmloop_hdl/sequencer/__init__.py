"""Instruction fetch, issue and traps."""
