"""Which signature a request gets, which get none, and what no signature may ever do."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.aliyun import AliyunCredential, Signed, Unsignable, Why, needs_body, sign
from policy.aliyun.encoding import pairs
from policy.aliyun.oss import resource
from policy.request import Request
from unit_tests.policy.aliyun.wire import arrived, signed

KEY = AliyunCredential(access_key_id="STS.id", access_key_secret="hush-hush", security_token="the-token")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ECS, OSS = "ecs.cn-hangzhou.aliyuncs.com", "box.oss-cn-hangzhou.aliyuncs.com"
DATES = {"x-acs-date": "2026-03-04T05:06:07Z", "date": "Wed, 04 Mar 2026 05:06:07 GMT", "x-oss-date": "20260304T050607Z"}
SCOPE = "20260304/cn-hangzhou/oss/aliyun_v4_request"
PLACEHOLDERS = {
    "acs3": {"authorization": "ACS3-HMAC-SHA256 Credential=p,SignedHeaders=host;user-agent,Signature=0", "x-acs-content-sha256": EMPTY},
    "roa": {"authorization": "acs p:0"},
    "oss4": {"authorization": f"OSS4-HMAC-SHA256 Credential=p/{SCOPE},Signature=0"},
    "oss1": {"authorization": "OSS p:0"},
}
RPC = "AccessKeyId=p&Action=X&SignatureMethod=HMAC-SHA1&Timestamp=t&Signature=0&SecurityToken=p"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def request_of(kind: str, target: str = "/a?b=c", method: str = "GET", **changes: str | None) -> Request:
    """Signed in this way with a placeholder. A change to None takes a header away; `_` stands for `-`."""
    headers: dict[str, Any] = {"user-agent": "sdk", **DATES, **PLACEHOLDERS[kind]}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [(name, value) for name, value in headers.items() if value is not None]
    return arrived(method, OSS if kind.startswith("oss") else ECS, target, lines)


def rpc_of(query: str = RPC, method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    return arrived(method, ECS, f"/?{query}", [(name.replace("_", "-"), value) for name, value in headers.items()], body)


def why(request: Request) -> Why:
    result = sign(request, KEY)
    assert isinstance(result, Unsignable), result
    return result.why


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_the_kind_of_the_placeholder_is_the_kind_of_the_signature(kind: str) -> None:
    before = PLACEHOLDERS[kind]["authorization"].replace("Credential=p", "Credential=STS.id").replace(" p:", " STS.id:")
    after = signed(request_of(kind), KEY).header("authorization") or ""
    assert after.startswith(before.rstrip("0").partition("SignedHeaders")[0].removesuffix("Signature="))
    assert not after.endswith(("=0", ":0"))


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_a_scheme_is_known_in_any_case(kind: str) -> None:
    scheme, _, rest = PLACEHOLDERS[kind]["authorization"].partition(" ")
    assert sign(request_of(kind, authorization=f"{scheme.lower()} {rest}"), KEY) == sign(request_of(kind), KEY)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (arrived("GET", ECS, "/", DATES.items()), Why.UNSIGNED),
        (arrived("GET", ECS, "/?Action=X&AccessKeyId=p", DATES.items()), Why.UNSIGNED),
        (arrived("POST", ECS, "/", FORM.items(), b"Signature=0&AccessKeyId=p&SignatureMethod=HMAC-SHA1"), Why.BODY),
        (arrived("GET", OSS, "/a?OSSAccessKeyId=p&Expires=9999999999&Signature=0"), Why.PRESIGNED),
        (arrived("GET", OSS, f"/a?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=p%2F{SCOPE}&x-oss-signature=0"), Why.PRESIGNED),
        (request_of("acs3", authorization="Bearer sk-1"), Why.SCHEME),
        (request_of("acs3", authorization="Basic cDpw"), Why.SCHEME),
        (request_of("acs3", authorization="LOG p:0"), Why.SCHEME),
        (request_of("acs3", authorization="ACS3-HMAC-SM3 Credential=p"), Why.ALGORITHM),
        (request_of("acs3", authorization="ACS3-RSA-SHA256 Credential=p"), Why.ALGORITHM),
        (request_of("oss1", authorization="OSS2 AccessKeyId:p,Signature:0"), Why.ALGORITHM),
        (request_of("acs3", x_acs_date=None), Why.DATE),
        (request_of("acs3", x_acs_date="yesterday"), Why.DATE),
        (request_of("acs3", x_acs_content_sha256=None), Why.BODY_HASH),
        (request_of("acs3", x_acs_content_sha256="UNSIGNED-PAYLOAD"), Why.BODY_HASH),
        (request_of("acs3", x_acs_content_sha256=EMPTY + "," + EMPTY), Why.BODY_HASH),
        (request_of("roa", date=None), Why.DATE),
        (request_of("roa", x_acs_signature_method="HMAC-SHA256"), Why.ALGORITHM),
        (request_of("roa", x_acs_signature_type="BEARERTOKEN"), Why.ALGORITHM),
        (request_of("oss4", x_oss_date=None), Why.DATE),
        (request_of("oss4", x_oss_date="Wed, 04 Mar 2026 05:06:07 GMT"), Why.DATE),
        (request_of("oss4", authorization="OSS4-HMAC-SHA256 Credential=p,Signature=0"), Why.SCOPE),
        (request_of("oss4", x_oss_content_sha256=EMPTY), Why.BODY_HASH),
        (request_of("oss1", x_oss_date=None, date=None), Why.DATE),
        (rpc_of(RPC.replace("HMAC-SHA1", "HMAC-SHA256")), Why.ALGORITHM),
        (rpc_of(RPC + "&SignatureType=BEARERTOKEN"), Why.ALGORITHM),
        (rpc_of(RPC.replace("&Timestamp=t", "")), Why.DATE),
        (rpc_of(method="POST", content_type="application/x-www-form-urlencoded", content_length="5"), Why.BODY),
        (rpc_of(method="POST", body=b"a=b&Signature=0", content_type=FORM["content-type"]), Why.BODY),
        (arrived("CONNECT", ECS, f"{ECS}:443"), Why.TARGET),
    ],
)
def test_what_cannot_be_signed_says_why(request_: Request, expected: Why) -> None:
    assert why(request_) is expected


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("box.oss-cn-hangzhou.aliyuncs.com", "/k", b"/box/k"),
        ("box.oss-cn-hangzhou-internal.aliyuncs.com", "/k%20l", b"/box/k l"),
        ("box.oss-accelerate.aliyuncs.com", "/", b"/box/"),
        ("box.oss-accelerate-overseas.aliyuncs.com", "/k", b"/box/k"),
        ("box.cn-hangzhou.oss.aliyuncs.com", "/k", b"/box/k"),
        ("box.cb-123.cn-hangzhou.oss-cloudbox.aliyuncs.com", "/k", b"/box/k"),
        ("oss-box.oss-cn-hangzhou.aliyuncs.com", "/k", b"/oss-box/k"),
        ("BOX.oss-cn-hangzhou.aliyuncs.com", "/k", b"/box/k"),
        ("oss-cn-hangzhou.aliyuncs.com", "/", b"/"),
        ("oss-cn-hangzhou.aliyuncs.com", "/box/k", b"/box/k"),
        ("files.example.com", "/k", None),
        ("a.b.oss-cn-hangzhou.aliyuncs.com", "/k", None),
        ("box.oss-cn-hangzhou.aliyuncs.com.evil.test", "/k", None),
        ("ecs.cn-hangzhou.aliyuncs.com", "/k", None),
        ("10.0.0.1", "/box/k", None),
    ],
)
def test_the_bucket_is_what_the_vendors_hosts_say_and_else_unknown(host: str, path: str, expected: bytes | None) -> None:
    assert resource(arrived("GET", host, path)) == expected


@pytest.mark.parametrize("kind", ["oss4", "oss1"])
def test_object_storage_under_a_name_of_the_customers_is_not_signed(kind: str) -> None:
    lines = list(request_of(kind).headers)
    assert why(arrived("GET", "files.example.com", "/k", lines)) is Why.BUCKET


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_the_placeholders_own_key_token_and_signature_leave_no_trace(kind: str) -> None:
    tokens = {"x_acs_security_token": "leftover", "x_acs_accesskey_id": "leftover", "x_oss_security_token": "leftover"}
    after = signed(request_of(kind, **tokens), KEY)
    own = "x-oss-" if kind.startswith("oss") else "x-acs-"
    assert "leftover" not in [value for name, value in after.headers if name.startswith(own)]
    assert "the-token" in dict(after.headers).values()


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_a_lasting_key_has_no_token_and_the_placeholders_one_is_taken_out(kind: str) -> None:
    lasting = AliyunCredential(access_key_id="id", access_key_secret="hush-hush")
    tokens = {
        "x_acs_security_token": "leftover",
        "x_acs_accesskey_id": "leftover",
        "x_oss_security_token": "leftover",
        "security_token": "leftover",
    }
    bare = request_of(kind)
    own = "x-oss-" if kind.startswith("oss") else "x-acs-"
    with_token = request_of(kind, **{name: value for name, value in tokens.items() if name.replace("_", "-").startswith(own)})
    assert signed(with_token, lasting) == signed(bare, lasting)


def test_in_the_rpc_style_all_other_parameters_stay_as_they_are_written() -> None:
    result = sign(rpc_of("Z=%7e+x&" + RPC + "&&a"), KEY)
    assert isinstance(result, Signed)
    assert result.set_headers == ()
    start, _, rest = (result.target or "").partition("&AccessKeyId=")
    assert start == "/?Z=%7e+x&Action=X&SignatureMethod=HMAC-SHA1&Timestamp=t&a"
    assert rest.startswith("STS.id&SecurityToken=the-token&Signature=")
    assert dict(pairs((result.target or "").partition("?")[2]))[b"Signature"] not in (b"", b"0")


def test_a_form_is_a_part_of_what_the_rpc_style_signs() -> None:
    one, two = (rpc_of(method="POST", body=body, content_type=FORM["content-type"]) for body in (b"x=1", b"x=2"))
    assert needs_body(one)
    assert sign(one, KEY) != sign(two, KEY)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (rpc_of(), False),
        (rpc_of(content_type=FORM["content-type"]), False),
        (rpc_of(method="POST", content_type=FORM["content-type"]), True),
        (rpc_of(method="POST", content_type=FORM["content-type"] + "; charset=utf-8", content_length="9"), True),
        (rpc_of(method="POST", content_type=FORM["content-type"], content_length="0"), False),
        (rpc_of(method="POST", content_type="application/json"), False),
        (rpc_of(method="POST", content_type=FORM["content-type"], authorization="acs p:0"), False),
        (request_of("acs3", method="POST", content_type=FORM["content-type"]), False),
    ],
)
def test_no_other_signature_needs_the_body(request_: Request, needed: bool) -> None:
    assert needs_body(request_) is needed


def test_the_digest_of_the_body_is_the_clients_word_and_is_signed() -> None:
    other = "0" * 64
    assert sign(request_of("acs3", x_acs_content_sha256=other), KEY) != sign(request_of("acs3"), KEY)
    assert sign(replace(request_of("acs3", method="POST"), body=b"anything"), KEY) == sign(request_of("acs3", method="POST"), KEY)


@pytest.mark.parametrize("name", ["user-agent", "content-type", "x-acs-action"])
def test_v3_signs_what_was_listed_and_what_the_vendor_asks_for(name: str) -> None:
    changed = signed(request_of("acs3", **{name.replace("-", "_"): "other"}), KEY).header("authorization")
    assert changed != signed(request_of("acs3", **{name.replace("-", "_"): "one"}), KEY).header("authorization")


@pytest.mark.parametrize("name", ["x-request-id", "x-forwarded-for", "x-envoy-x", "content-length", "authorization", "expect"])
def test_v3_does_not_sign_what_a_proxy_may_write(name: str) -> None:
    listing = f"ACS3-HMAC-SHA256 Credential=p,SignedHeaders=host;{name},Signature=0"
    after = signed(request_of("acs3", **{name.replace("-", "_"): "1", "authorization": listing}), KEY)
    assert name not in (after.header("authorization") or "").partition("SignedHeaders=")[2].partition(",")[0].split(";")


@pytest.mark.parametrize("kind", ["acs3"])
def test_the_host_is_bound_where_the_signature_can_bind_it(kind: str) -> None:
    here, there = request_of(kind), request_of(kind)
    elsewhere = arrived("GET", "sts.aliyuncs.com", "/a?b=c", list(there.headers))
    assert sign(here, KEY) != sign(elsewhere, KEY)


def test_parameters_stand_in_order_of_their_names_and_not_of_their_text() -> None:
    """`a=` and `a.1=`: the full stop stands before the equals sign."""
    assert signed(request_of("acs3", "/?a=1&a.1=2"), KEY).header("authorization") == signed(request_of("acs3", "/?a.1=2&a=1"), KEY).header(
        "authorization"
    )


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12)
NAMES = st.sampled_from(
    [
        *DATES,
        "x-acs-content-sha256",
        "x-acs-x",
        "x-oss-x",
        "content-type",
        "content-length",
        "security-token",
        "x-oss-content-sha256",
        "content-md5",
    ]
)
SCHEMES = st.sampled_from([placeholder["authorization"] for placeholder in PLACEHOLDERS.values()]) | st.sampled_from(
    ["acs", "oss ", "ACS3-HMAC-SHA256"]
)
TARGETS = TEXT.map(lambda text: "/?" + text) | TEXT.map(lambda text: f"/?{RPC}&{text}") | TEXT.map(lambda text: "/" + text) | TEXT


@st.composite
def requests(draw: Any) -> Request:
    headers = draw(st.dictionaries(NAMES, TEXT | st.sampled_from([*DATES.values(), EMPTY, FORM["content-type"]])))
    if draw(st.booleans()):
        headers["authorization"] = draw(SCHEMES | TEXT)
    return Request(
        method=draw(st.sampled_from(["GET", "POST"])),
        scheme="https",
        host=draw(st.sampled_from([ECS, OSS, "x"])),
        port=443,
        path="/",
        headers=tuple(headers.items()),
        authority=ECS,
        target=draw(TARGETS),
        body=draw(st.binary(max_size=20)),
    )


@given(requests())
def test_whatever_comes_there_is_an_answer_and_the_secret_is_in_none(request_: Request) -> None:
    result = sign(request_, KEY)
    if isinstance(result, Signed):
        everything = "".join(name + value for name, value in result.set_headers) + (result.target or "")
        assert KEY.access_key_secret not in everything
        assert not set(everything) & {"\r", "\n", "\x00"}
        assert (result.target or request_.target).partition("?")[0] == request_.target.partition("?")[0]
    assert sign(request_, KEY) == result


def test_nothing_that_is_secret_shows_when_it_is_printed() -> None:
    shown = repr(KEY) + repr(sign(request_of("acs3"), KEY)) + repr(sign(rpc_of(), KEY))
    assert "hush-hush" not in shown
    assert "the-token" not in shown
    assert "Signature" not in shown


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_only_what_is_there_is_removed(kind: str) -> None:
    result = sign(request_of(kind), AliyunCredential(access_key_id="id", access_key_secret="hush-hush"))
    assert isinstance(result, Signed)
    assert result.remove_headers == ()
