"""Input codes of the digital-to-analogue converters."""
