"""What Envoy's configuration and ext-proc must call by the same name: where a decision is written, and what says whose request it is.

The names of the attributes are those of openkruise/agents, whose gateways set them.
"""

OWN_NAMESPACE = "groyne.dev"
"""Of dynamic metadata; only ext-proc can write it."""
VERDICT = "verdict"
"""The field there without which no request goes on."""
IDENTITY_HEADER = "x-groyne-identity"
"""In the metadata of a stream that comes over a socket which only our own Envoy can open."""

PEER_NAMESPACE = "filter_state['downstream_peer'].namespace"
PEER_NAME = "filter_state['downstream_peer'].name"
SANDBOX_LABELS = "filter_state['sandbox.labels']"
SANDBOX_TOKEN = "filter_state['sandbox.token']"  # noqa: S105 - the attribute's name
IDENTITY_ATTRIBUTES = (PEER_NAMESPACE, PEER_NAME, SANDBOX_LABELS, SANDBOX_TOKEN)
"""What other parts of a shared gateway know of the pod whose request it is."""
SOURCE_ADDRESS = "source.address"
