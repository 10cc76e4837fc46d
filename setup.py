"""The README of the package: without links and images that only work in the repository.

All other metadata is in pyproject.toml. A package index shows the README alone: its relative links lead nowhere.
"""

import re
from pathlib import Path

from setuptools import setup

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)[^)]*\)")
README = (Path(__file__).parent / "README.md").read_text("utf-8")

setup(
    # An image is left out, a link becomes its words.
    long_description=LINK.sub(lambda found: "" if found[1] else found[2], README),
    long_description_content_type="text/markdown",
)
