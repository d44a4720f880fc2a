"""Pure: a Selection of the program, credential values and certificates become Envoy resources. No I/O, no client.

Selection → `plan` (which hosts, what is intercepted and why) → one route configuration per transport (`plain`, `tls`,
`connect`) → listeners and clusters that only change with the set of transports. A request meets, in this order:

  early header mutation      path without query, names shown in TLS → `x-groyne-*` headers that only Envoy can write
  virtual host               the most specific host pattern; it carries the ordered rules of every pattern that covers it
  matcher of that host       malformed requests, then the first terminal rule, all read from the request as it arrived
  slots (composite filters)  one per group of headers: the last rule that acts on the group writes it
  router                     dials the name that was judged
"""
