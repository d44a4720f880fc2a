"""Who speaks on an encrypted connection: certificates from files, identities on both sides, for every TLS edge of ours.

    files     three paths, all or none; waits at the start for whoever writes them
    material  the files' contents, read as one and found to belong together
    watch     that something in their directories changed
    keeper    holds the material in force, exchanges it whole, keeps the last good one; metrics, readiness
    identity  SPIFFE: what a certificate says of its holder, and whether that is who may speak here
    contexts  `ssl` contexts for servers and clients, whose next handshake uses what is in force then
    callers   who calls, where a server tells of a connection's certificate with each request
    grpc_edge the same for grpcio, and the only room that may import it

Who writes the files is all one: cert-manager, spiffe-helper, the kubelet from a Secret that the controller made. What the peers say to each
other afterwards is no matter of this package, and it knows no other package of ours.
"""
