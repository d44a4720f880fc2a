"""Real clients under `groyne run`: each reaches an intercepted host and arrives with a credential that it was never given.

`harness` runs one, `rows` collects what is shown, `table` turns that into the table of docs/clients.md.
"""
