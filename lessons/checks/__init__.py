"""The checks of each lesson, for its notebook: `from lessons.checks import lesson_02 as check`."""
