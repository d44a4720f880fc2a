#!/bin/sh
# An authority, a certificate for the provider and one for ext-proc, into this directory. In a cluster cert-manager or SPIRE makes these.
set -eu

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=demo authority" \
  -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n' > provider.ext
printf 'subjectAltName=URI:spiffe://demo.test/extproc\nextendedKeyUsage=clientAuth\n' > extproc.ext
for who in provider extproc; do
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr
  openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile $who.ext -out $who.crt
done
