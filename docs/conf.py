"""Sphinx configuration. Neither the build nor the pages need a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Ohmloop"
author = "The Ohmloop authors"
project_copyright = author
release = version = "0.1.0"

extensions = ["myst_parser", "mathml"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "Ohmloop"
html_copy_source = False
