"""How the documentation is built: Sphinx, MyST Markdown, Furo."""

from importlib.metadata import version as installed_version

project = "sessionstore"
author = "sessionstore contributors"
copyright = f"2026, {author}"
version = release = installed_version("sessionstore")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3  # so that a page can be linked to by section: page.md#section

html_theme = "furo"
html_title = f"sessionstore {version}"

# Broken links between our own pages are errors (-W). No intersphinx: a build must not
# depend on other projects' sites being up.
nitpicky = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"
