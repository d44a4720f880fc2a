#!/bin/sh
# Makes policy/company-ca.yaml, a Secret with a CA for this example. Such a key must never lie in a repository.
set -eu
cd "$(dirname "$0")"
umask 077
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Example Company CA" \
  -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout "$scratch/ca.key" -out "$scratch/ca.crt" 2>/dev/null
cat > policy/company-ca.yaml <<YAML
apiVersion: v1
kind: Secret
metadata: {name: company-ca}
type: kubernetes.io/tls
data:
  tls.crt: $(base64 < "$scratch/ca.crt" | tr -d '\n')
  tls.key: $(base64 < "$scratch/ca.key" | tr -d '\n')
YAML
