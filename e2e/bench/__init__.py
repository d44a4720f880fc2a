"""What a policy costs: requests per second beside the same Envoy without one, and what compiling, reading and starting take.

    python -m e2e.bench [--quick] [--output json]

`policies` (the programs) → `world` (an upstream, and one Envoy a program, made by the product's compiler) → `rates` (wrk, in
interleaved rounds, so that a busy machine slows all alike) → `report` (ratios against the targets). `costs` measures compiling
and reading, each in a fresh process. Absolute figures say something about a machine; only ratios have targets.
"""
