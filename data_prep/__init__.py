"""From public data sets, as their owners publish them, to prepared folders; and synthetic sets.

``python -m data_prep --help`` lists what can be prepared; :mod:`ums.data.prepared` describes the format.
"""
