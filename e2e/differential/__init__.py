"""The differential test: what a policy means (`policy.evaluate`) against what a real Envoy does with its compiled form, and with ext-proc.

    generator, requests   a seed → manifests, and requests that are likely to meet their rules
    program               manifests → crds.parse → policy.compile_program → selection and credentials
    batch                 many programs → listeners of one Envoy, each with its own files, one for each way that rules are carried out
    external              ext-proc for all of them, with a provider whose answers are known
    client, upstream      raw HTTP/1.1 and HTTP/2, because what is tested includes what no library would send
    expectation           the evaluator's verdict, plus what the place adds (CONNECT, 421, private addresses)
    compare, minimise     a difference, and the smallest program and request that still show it
    mutants               ways to break the compiler on purpose, each of which must show up as a difference

Everything runs in its own user and network namespace, where every address is local and every port is free.
`python -m e2e.differential --help` runs it; a difference is a bug of the highest rank.
"""
