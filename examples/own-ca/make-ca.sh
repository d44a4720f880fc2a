#!/bin/sh
# Makes ca/ca.crt and ca/ca.key, a CA for this example. The key must never lie in a repository.
set -eu
cd "$(dirname "$0")"
mkdir -p ca
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Example Company CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
  -keyout ca/ca.key -out ca/ca.crt 2>/dev/null
