"""Pure: models and data in; manifests, statuses and problems out. One output kind a file; no I/O, no client, no clock.

SandboxTemplate                          → `network_policy`   TEMPLATE-network-policy, or why there is none
SandboxTemplate + Selection              → `groyne_policy`    TEMPLATE-groyne, where its rules need ext-proc
names to intercept + what was made before → `material`        CA, leafs and bundle, made anew only where they must be
Configuration + material                 → `secret`           TEMPLATE-egress, byte-stable
material                                 → `ca_secret`        TEMPLATE-ca, the CA with its key
problems + conditions as they were       → `status`           Accepted, ResolvedRefs, Programmed
ServiceCIDRs + Nodes                     → `ranges`           the cluster's own ranges, for the default policy
ServiceCIDRs + Nodes + a Service         → `families`         the IP families of its pods, for the sidecar
manifest + object as it is               → `ownership`        create, replace, delete, leave alone or refuse
"""
