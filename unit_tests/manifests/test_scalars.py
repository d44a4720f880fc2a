"""Plain scalars mean what kubectl makes of them; the expected values were written by sigs.k8s.io/yaml 1.6."""

import pytest

from manifests.scalars import NotFiniteError, is_ambiguous, key_text, resolve

KUBECTL = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    "0777": 511,
    "0o777": 511,
    "0O17": 15,
    "-0777": -511,
    "0x1F": 31,
    "0X1f": 31,
    "-0x1f": -31,
    "0b101": 5,
    "-0b11": -3,
    "0B1": 1,
    "1_000": 1000,
    "0x_1": 1,
    "1_": 1,
    "0_": 0,
    "0_7": 7,
    "08": 8,
    "09": 9,
    "00": 0,
    "-0": 0,
    "+1": 1,
    "+0o7": 7,
    "1e3": 1000,
    "1E3": 1000,
    "01e3": 1000,
    "1.e3": 1000,
    "+1e3": 1000,
    "1.": 1,
    "1.0": 1,
    "0.": 0,
    "1.5e0": 1.5,
    ".5": 0.5,
    "-.5": -0.5,
    "1e20": 1e20,
    "1e-7": 1e-7,
    "1_0.5": 10.5,
    "+.5e1": 5,
    "0.0_1": 0.01,
    "18446744073709551615": 18446744073709551615,
    "18446744073709551616": 18446744073709551616.0,
    "-9223372036854775808": -(2**63),
    "123456789012345678901234567890": 1.2345678901234568e29,
    "1" * 5000: "1" * 5000,
}
TEXTS = (
    "yEs tRUE nULL 1:30 1:30:45 2026-01-01 2026-01-01T00:00:00Z 1e400 0x 1e e3 = << "
    "0o8 0b 0b2 _1 . 1,000 infinity inf nan 1.2.3 0x1.8 + - 1e3e3 .5_0"
)
KUBECTL |= {word: word for word in TEXTS.split()}


@pytest.mark.parametrize(("text", "value"), KUBECTL.items(), ids=[text[:20] for text in KUBECTL])
def test_a_scalar_is_read_as_kubectl_reads_it(text, value):
    """Value and type agree."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", ".NAN"])
def test_what_json_cannot_say_is_refused(text):
    """Kubernetes has no infinities."""
    with pytest.raises(NotFiniteError):
        resolve(text)


@pytest.mark.parametrize(
    ("text", "odd"),
    [(word, True) for word in ("yes", "N", "off", "0777", "-010", "0_7")]
    + [(word, False) for word in ("true", "null", "", "0", "0.5", "0x1f", "1_000", "08", "yesterday", "10")],
)
def test_words_and_octals_are_ambiguous(text, odd):
    """What many people take for text, or for another number."""
    assert is_ambiguous(text) is odd


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (511, "511"), (1.5, "1.5"), ("a", "a"), (None, None)])
def test_keys_are_spelt_as_json_spells_them(value, text):
    """A key is text, whatever was written."""
    assert key_text(value) == text
