"""Sphinx configuration. The build needs no network."""

project = "Ohmloop"
author = "The Ohmloop authors"
project_copyright = author
release = version = "0.1.0"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Ohmloop"
html_copy_source = False
