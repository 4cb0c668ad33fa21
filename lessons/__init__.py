"""The lessons: notebooks that step through ums, their sources, and what checks a student's answers.

``checking`` and ``checks/`` are what a notebook imports. ``source/`` holds one text file per lesson;
``holes``, ``links`` and ``notebooks`` make the student's and the solved copy of it, and ``running``
executes the solved one. ``release`` hands out, with ``teachers`` and ``graders``. ``scoring`` starts a
``judge`` for each notebook, which reads it (``handed_in``), looks for ``signs`` and works behind a
``guard``; ``gradebook`` writes the points. ``python -m lessons`` is the command.
"""
