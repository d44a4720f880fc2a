"""What a policy means: no I/O, no Kubernetes, no Envoy.

profiles (crds) → `compile_program` → immutable `Program` or Problems → `program.select(identity)` → ordered rules
→ `evaluate(rules, request)` → Verdict. The evaluator is the specification that every engine is tested against.
"""
