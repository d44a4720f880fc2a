"""Connections to a provider are not kept beyond the certificate they were made with."""

import asyncio

from prometheus_client import CollectorRegistry

from extproc.providers.certified import certified
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from unit_tests.mtls.pki import CLIENT, authority, leaf, wall, write

ROOT = authority()


def test_the_context_is_another_when_the_certificate_is_another_and_only_then(tmp_path):
    """Reading the same files again, or files that are no pair, ends no connection."""
    first = leaf(ROOT, CLIENT)
    keeper = Keeper(write(tmp_path, first, ROOT), now=wall, metrics=TlsMetrics(CollectorRegistry()))
    tls = certified(keeper)
    before = tls()
    asyncio.run(keeper.reload())
    assert tls() is before
    files = write(tmp_path, leaf(ROOT, CLIENT), ROOT)
    whole = files.key.read_bytes()
    files.key.write_bytes(first.key_pem)
    asyncio.run(keeper.reload())
    assert tls() is before
    files.key.write_bytes(whole)
    asyncio.run(keeper.reload())
    after = tls()
    assert after is not before
    assert tls() is after
