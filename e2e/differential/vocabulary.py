"""The words that programs and requests are made of: few, so that rules overlap and requests meet them, and nasty.

Manifest text is Unicode; request text is Latin-1, one character a byte. A regex comes with texts that it finds something in.
"""

from collections.abc import Mapping

PORTS = (80, 443, 8080, 8443, 10443)
"""Where the upstream listens."""

NAMES = ("alpha.test", "api.alpha.test", "deep.api.alpha.test", "beta.test", "x-y.beta.test", "a_b.beta.test", "single")
ADDRESSES = ("93.184.216.34", "2606:2800:220:1::1")
PRIVATE = ("10.1.2.3", "127.0.0.1", "::1", "fd00::1")
PATTERNS = (*NAMES, *ADDRESSES, "*.alpha.test", "*.api.alpha.test", "*.beta.test", "*.test", "*")

PATHS = ("/", "/v1", "/v1/", "/v1/chat", "/admin", "/admin/users", "/a%20b", "/x/y%2Fz", "/~u/.x", "/caf%C3%A9", "/v1;p", "/CASE", "/p%25")
PATH_PREFIXES = ("/", "/v1", "/v1/", "/adm", "/a%20", "/x/y", "/~", "/caf%C3", "/C")
PATH_REGEXES: Mapping[str, tuple[str, ...]] = {
    "^/v[0-9]+/": ("/v1/chat", "/v22/"),
    "admin": ("/admin", "/x/admin/y"),
    "(?i)^/CASE$": ("/case", "/CASE"),
    "/chat$|^/beta": ("/v1/chat", "/beta"),
    "^/$": ("/",),
    "%C3%A9": ("/caf%C3%A9",),
    r"\.x": ("/~u/.x",),
    "^/[^/]+$": ("/v1", "/admin"),
    "": ("/", "/anything"),
}

HEADERS = ("x-a", "x-b", "x-c", "authorization", "accept", "user-agent", "cookie", "x-key", "referer", "content-type")
VALUES = ("1", "A", "a", "one,two", "one, two", "Bearer PLACEHOLDER-1", "é", "100%", "%41", 'q"uote', "a" * 300)
VALUE_PREFIXES = ("1", "one", "Bearer ", "a", "é", "%")
VALUE_REGEXES: Mapping[str, tuple[str, ...]] = {
    "^one, ?two$": ("one,two", "one, two"),
    "PLACEHOLDER": ("Bearer PLACEHOLDER-1", "xPLACEHOLDER"),
    "^$": ("",),
    "(?i)^a+$": ("A", "a", "aaa"),
    "^[0-9]": ("1", "100%"),
    r"\xc3": ("Ã©",),
    r"[\x80-\xff]": ("Ã©", "\xff"),
    "two": ("one,two", "two"),
    "a|b": ("b", "xax"),
    r"^\C{3}$": ("abc", "\xff\xfe\xfd"),
    "$": ("anything", ""),
    r"\bone\b": ("one,two", "x one"),
    r"^\S+$": ("one,two", "A"),
    r"(?s)^.+$": ("one", "\xff"),
    r"\pL": ("a", "\xe9"),
    r"^[^\x00-\x7f]{2}": ("Ã©", "\xff\xfe"),
    "(one|two){2}": ("oneone", "twoone,"),
    "": ("anything", ""),
}
REQUEST_VALUES = ("1", "A", "a", "one", "two", "one,two", "", "  padded ", "Ã©", "\xff\xfe", "Bearer PLACEHOLDER-1", "100%", "a\tb")

QUERY = ("q", "k", "Q", "a.b", "q[]")
QUERY_VALUES = ("1", "a b", "a+b", "é", "100%", "x=y", "a&b", "A")
QUERY_PREFIXES = ("1", "a", "é", "x")
QUERY_REGEXES: Mapping[str, tuple[str, ...]] = {
    "^a.b$": ("a b", "a+b", "axb"),
    "^$": ("",),
    r"[\x80-\xff]": ("Ã©", "\xff"),
    "[0-9]+": ("1", "x42"),
    "(?i)^A$": ("a", "A"),
    r"^\C$": ("a", "\xff"),
}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
WRITTEN = (*HEADERS, "x-new", "x-trace")
WRITTEN_VALUES = ("1", "a", "", "one,two", "%REQ(x-a)%", "100%", "é", "set by rule", "Bearer literal")
TEMPLATES = ("Bearer {{ .Token }}", "{{ .Token }}", "key-{{.Token}}-%end", "{{ .Token }}{{ .Token }}")
SECRETS: Mapping[str, str] = {"good": "s3cr3t-A", "odd": "p%41 q,é", "other": "sk-B"}
MISSING = "missing"
ISSUED: Mapping[str, Mapping[str, str]] = {"vault": {"apiKey": "issued-A"}, "strange": {"apiKey": "p%41 q,\xe9"}}
"""By provider."""
STS: Mapping[str, Mapping[str, str]] = {"sts": {"accessKeyId": "STS.A", "accessKeySecret": "secret", "securityToken": "token"}}
FAILING = "failing"
"""A provider that never issues anything."""
BODIES = (None, None, "no", "", "é 100% %REQ(x-a)%", '{"json": true}')

TOOLS = ("read_file", "write_file", "délete", "a b", "Read_File")
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2019-01-01", "")
