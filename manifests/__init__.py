"""From a directory of manifests to objects with file and line, and to located problems.

`files` (directory → texts) → `documents` (text → plain data, read as kubectl reads it) → `crds.parse` (data → model objects)
→ `load` (objects, problems and indexes). `places` finds the line of a field when a problem must be shown.
Manifests may come from strangers: nothing here runs what it reads, and everything that can grow has a limit.
"""
