"""Buses, registers and memory windows: how a host reaches the chip."""
