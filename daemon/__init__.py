"""What every long-running process of ours stands on, whatever it does: settings, logs, the health port, a pulse.

Settings come from flags, environment and a file, and a mistake names its place. Logs are JSON lines with nothing secret in
them. The health port answers from threads of its own. None of it knows what the process is for.
"""
