"""The lessons: notebooks that step through ums, their sources, and what checks a student's answers.

``source/`` holds one text file per lesson; ``holes`` and ``notebooks`` make the student's and the
solved copy of it, ``running`` executes and scores notebooks. ``checking`` and ``checks/`` are what a
notebook imports. ``python -m lessons`` is the command.
"""
