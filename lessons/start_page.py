"""The page that a student's folder begins with: how to set up, how to work and hand in, what to do."""

from lessons.book.plan import read_plan

START = """\
# Start here

1. Once, with Python 3.10 or newer, in this folder:

   ```
   python -m venv .venv
   .venv/bin/python -m pip install -r requirements.txt
   .venv/bin/python -m lessons.setup
   ```

   On Windows write `.venv\\Scripts\\python` for `.venv/bin/python`. The first line may need `python3` or `py`
   for `python`. If a newer version of a package gives trouble, `requirements/tested.txt` has those that this
   folder was made with.
2. Each time, in this folder: `.venv/bin/python -m jupyterlab START.md`. It opens this page, and the links
   below open the notebooks. They are in the folder `lessons`. In VS Code open one there and choose `.venv` as
   its kernel.
3. Do the notebooks in the order below. Where you write, a line says `raise NotImplementedError`, or `None`:
   put your own lines there. The cell beneath checks them and says what is wrong.
4. Answers in words go where the text says *your answer*, or into the cell *Your answers* after it.
5. Hand in the notebooks themselves, under their own names. Your answers are found by their names
   (`dense_backward`), so keep these; cells that you add, move or delete do no harm.
6. Some notebooks have a cell that says `keep(...)`. It copies what you wrote to `lessons/own/`. Afterwards
   `.venv/bin/python -m lessons study`, in this folder, runs a small chest X-ray study with your code in the
   library's place. That takes a few minutes; then it prints where its page is.

## Your course

For the teacher to fill in, before this folder is handed out:

- questions to:
- hand in at, and by:
- together or alone, and what a language model may be asked:
- how points count:

You may run a check as often as you like. Write before you look: `ums/` is the library that these lessons
explain, and holds functions like yours.

## The notebooks

| | minutes |
|---|---|
"""


def start_page(titles):
    """The page for notebooks with these titles, {stem: title}, in the order of the course."""
    parts = read_plan().parts
    keys = [part.key for part in parts]
    places = {stem: keys.index(stem.partition("_")[0]) for stem in titles}
    lines = [
        f"| [{titles[stem]}](lessons/{stem}.ipynb) | {parts[places[stem]].minutes} |\n"
        for stem in sorted(titles, key=places.get)
    ]
    return START + "".join(lines)
