"""``make cluster-test``: the manifests on a real Kubernetes, with what an operator does in the course of a year.

What it needs is in ``setting.py``, what it does in ``__main__.py``, what it has seen in docs/reports/cluster.md.
"""
