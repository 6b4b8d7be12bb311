# Runs in Dom0: the list of commands alone.
exec python3 /out/steps.py
