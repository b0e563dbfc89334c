"""Measurements: what the engine and the services cost, next to plaintext torch in the same run.

python -m bench --rows W1,W4 --repeat 5 --json out.json
"""
