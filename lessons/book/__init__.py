"""The course as a web site: lessons with their pictures, results, notation, glossary and reference.

``make book`` writes it to ``build/book/html``. Sphinx with myst-nb makes it, since Sphinx alone of the usual
tools reads the library's docstrings and the notebooks alike, and needs neither Node nor the network. The
public book leaves the holes open; ``make book SOLVED=1`` writes the teacher's, with solutions.
"""
