"""Settings of Sphinx for the course book; `lessons.book.build` stages the pages and calls Sphinx."""

import sys

from sphinx.util.nodes import make_refnode

import ums

project = "ums"
author = "The ums authors"
copyright = author
version = release = ums.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax lies beside the pages: they ask nothing of other servers
]

# ---------------------------------------------------------------------------------- pages

html_theme = "furo"
html_title = "ums: a course in deep learning for medical images"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"  # formulas in docstrings; cells of code say that they are Python
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# ---------------------------------------------------------------------------------- lessons

nb_execution_mode = "off"  # they were executed before: lessons/solved/
nb_mime_priority_overrides = [("html", "text/markdown", 0)]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
mathjax3_config = {"tex": {"inlineMath": [["\\(", "\\)"]]}}

# ---------------------------------------------------------------------------------- reference

default_role = "py:obj"  # `name` is a link where there is such a name, else code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_ivar = True  # attributes as a list: dataclasses have them as members, too
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    ("py:.*", r"(?!ums\b|data_prep\b)\w+\..*"),  # of other libraries, whose pages are not at hand
    (
        "py:class",
        r".*\._\w+|ums\.networks\.AnyLayer|Array|DTypeLike|Record|Train|dict\[str",
    ),  # private; aliases
]
suppress_warnings = ["ref.python"]  # two classes may bear one name


def setup(app):
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _keep_sentences, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _show_formulas_as_written, priority=600)
    app.connect("missing-reference", _follow_import)


def _skip(app, what, name, value, skip, options):
    """Leave out a named tuple's fields, which its docstring explains, and defaults from elsewhere."""
    if str(getattr(value, "__doc__", "")).startswith("Alias for field number"):
        return True
    home = getattr(value, "__module__", None) or "ums"
    return True if home.split(".")[0] not in ("ums", "data_prep") else None


def _keep_sentences(app, what, name, value, options, lines):
    """Keep napoleon from taking what stands before a colon for the type of a value."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment: napoleon looks at the first line alone


def _show_formulas_as_written(app, what, name, value, options, lines):
    """Make literal blocks of the indented blocks of a docstring, all of which are formulas."""
    for i in range(len(lines) - 1, 1, -1):
        before = lines[i - 2]
        starts = lines[i].startswith("    ") and not lines[i - 1].strip() and before.strip()
        if starts and not before.startswith((" ", ":", "..")) and not before.endswith("::"):
            lines[i:i] = ["::", ""]


def _follow_import(app, env, node, content):
    """Link a name that a package imports, such as `ums.data.Examples`, to where it is defined."""
    package, _, name = node.get("reftarget", "").rpartition(".")
    value = getattr(sys.modules.get(package), name, None)
    target = f"{getattr(value, '__module__', '')}.{name}"
    found = env.domains["py"].objects.get(target)
    if not found:
        return None
    return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content, target)
