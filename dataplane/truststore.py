"""What a client must trust: the public roots, a user's own extra roots, and the interception CA.

In: PEM texts. Out: one PEM bundle, and the same as a Java trust store, since Java reads neither PEM bundles nor the variables
that name them. The bundle is text put together, never parsed: one odd root must not take the others away. Only certificate
blocks are taken over from texts given, because people keep private keys in the same file and an agent reads the bundle.
"""

import re
import warnings
from collections.abc import Iterator
from functools import cache

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

# What Java itself assumes where no password is given. It keeps nothing secret: the content is public.
JAVA_PASSWORD = "changeit"  # noqa: S105
_BLOCK = re.compile(r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)


def bundle(ca_pem: str, *extra_pem: str) -> str:
    """The public roots, the certificates in `extra_pem`, then the CA."""
    blocks = [block for text in (*extra_pem, ca_pem) for block in _blocks(text)]
    return _public_roots() + "\n".join([*blocks, ""])


def java_truststore(ca_pem: str, *extra_pem: str, password: str = JAVA_PASSWORD) -> bytes:
    """A PKCS#12 trust store of everything in the bundle that can be parsed."""
    certs = dict.fromkeys(cert for block in _blocks(bundle(ca_pem, *extra_pem)) if (cert := _parse(block)) is not None)
    entries = [PKCS12Certificate(cert, f"groyne-{index:04}".encode()) for index, cert in enumerate(certs)]
    return serialize_java_truststore(entries, BestAvailableEncryption(password.encode()))


def parsable(pem: str) -> str:
    """The certificates in `pem` that can be read: Envoy refuses a whole bundle for one that cannot."""
    return "\n".join(block for block in _blocks(pem) if _parse(block) is not None)


@cache
def _public_roots() -> str:
    text = certifi.contents()
    return text if text.endswith("\n") else text + "\n"


def _blocks(text: str) -> Iterator[str]:
    return (found.group().replace("\r\n", "\n") for found in _BLOCK.finditer(text))


def _parse(block: str) -> x509.Certificate | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a deprecated encoding in a public root is not ours to mend
        try:
            return x509.load_pem_x509_certificate(block.encode())
        except ValueError:
            return None
