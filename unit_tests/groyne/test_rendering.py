"""`groyne render`'s Kubernetes half: what a controller would write for the manifests, without showing a secret."""

import base64
import json
from datetime import UTC, datetime

from cryptography import x509

from crds.problem import Problem
from dataplane.certificates import make_ca
from groyne.rendering import implied_objects
from policy.program import SecretKeyRef
from unit_tests.controller.compile.build import profile, program, template, token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUE = "sk-live-0123456789"
CREDENTIALS = {SecretKeyRef(namespace="team-a", name="keys", key="apiKey"): VALUE}
KEYED = program(profile("key", [token("api.test")]))


def names(rendered):
    return [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]


def test_objects_come_in_order_of_templates():
    """Policies before the Secret, templates by namespace and name, however they came in."""
    found = implied_objects([template("b"), template("a")], KEYED, CREDENTIALS, reveal=False, now=NOW)
    assert names(found) == [
        ("NetworkPolicy", "a-network-policy"),
        ("Secret", "a-egress"),
        ("Secret", "a-ca"),
        ("NetworkPolicy", "b-network-policy"),
        ("Secret", "b-egress"),
        ("Secret", "b-ca"),
    ]
    assert not found.problems


def test_secrets_are_masked_unless_asked_for():
    """Neither a value, a key nor a hash of them."""
    hidden, shown = (
        json.dumps(implied_objects([template()], KEYED, CREDENTIALS, reveal=reveal, now=NOW).objects) for reveal in (False, True)
    )
    assert "***" in hidden
    assert "content-hash" not in hidden
    values = json.loads(shown)[1]["data"].values()
    decoded = [base64.b64decode(value).decode() for value in values]
    assert any(VALUE in text for text in decoded)
    assert not any(VALUE in hidden or value in hidden for value in values)


def test_a_credential_that_is_not_let_go_is_not_in_the_secret():
    """The owner's refusal holds for what is rendered too."""
    refused = {"team-a/key/token": Problem(reason="RefNotGranted", message="no", fatal=False)}
    (_, secret, *_) = implied_objects([template()], KEYED, CREDENTIALS, reveal=True, now=NOW, refused=refused).objects
    assert not any(VALUE in base64.b64decode(value).decode() for value in secret["data"].values())


def test_ones_own_ca_signs():
    """Named by the template's annotation, with its key among the credentials; the key is not copied."""
    own = make_ca(now=NOW, name="Company CA")
    parts = {"tls.crt": own.cert_pem, "tls.key": own.key_pem}
    credentials = {SecretKeyRef(namespace="team-a", name="company-ca", key=key): text for key, text in parts.items()}
    annotated = template(metadata={"annotations": {"groyne.dev/ca-secret": "company-ca"}})
    (_, secret, *_) = implied_objects([annotated], KEYED, credentials, reveal=True, now=NOW).objects
    leaf = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["leaf-0.crt"]))
    assert leaf.issuer == x509.load_pem_x509_certificate(own.cert_pem.encode()).subject
    assert "ca.key" not in secret["data"]


def test_a_broken_ca_of_ones_own_leaves_no_secret():
    """Falling back on another CA would surprise; the problem names the annotation."""
    credentials = {SecretKeyRef(namespace="team-a", name="company-ca", key=key): "nonsense" for key in ("tls.crt", "tls.key")}
    annotated = template(metadata={"annotations": {"groyne.dev/ca-secret": "company-ca"}})
    found = implied_objects([annotated], KEYED, credentials, reveal=False, now=NOW)
    assert names(found) == [("NetworkPolicy", "python-network-policy")]
    (problem,) = found.problems["team-a", "python"]
    assert problem.field == 'metadata.annotations["groyne.dev/ca-secret"]'
    assert "nonsense" not in problem.message
