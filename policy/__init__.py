"""What a policy means: no I/O, no Kubernetes, no Envoy; only `crds` below it.

Compiling: profiles (crds) → `compile.compile_program` → immutable `program.Program`, and Problems for each profile that has any.
    `conditions`, `actions` and `templates` read one part each; `domains`, `patterns`, `paths` and `authority` own the tricky
    meanings; `order` warns where two profiles' order decides.
Choosing: `Program.select(identity)` → `Selection`, the profiles that hold for one pod, in order.
    `references` says which Secrets they use, and whether the owners let them go.
Computing: `variables` is what can be read of a request; `cel` and `go_templates` compute from it, for `audit` hooks and `values`.
Judging: a request as it arrived → `normalise.normalise` → `request.Request`, or 400
    → `evaluate.evaluate(selection, raw, credentials=…)` → `verdict.Verdict`.

The evaluator is the specification that every engine is tested against. Text that goes on the wire is Latin-1: one character a byte.
"""
