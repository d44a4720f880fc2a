"""The command line: run, render, explain, check."""
