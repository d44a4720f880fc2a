"""Attempts to get out of the sandbox or at a credential, by family; each with a control that shows the attempt itself is sound."""
