"""Ohmloop: models, golden machine, engines and host side of a closed-loop analogue solver."""
