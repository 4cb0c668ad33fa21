"""From public data sets, as their owners publish them, to prepared folders; and a synthetic set.

`python -m data_prep --help` lists what can be prepared. The format is `ums.data.prepared`.
"""
