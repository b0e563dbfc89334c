"""The same workloads on other frameworks that pip installs, each in a virtual environment of its own.

``python -m bench.peers``. The scripts here run inside those environments and print one JSON object a row.
"""
