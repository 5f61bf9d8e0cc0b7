"""Switches, settling rule and auto-ranging of the analogue loop."""
