"""What end-to-end tests share: a certificate authority, a server that remembers, and `groyne` run as a person runs it."""
