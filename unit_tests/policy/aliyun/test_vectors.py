"""What the vendor's own SDKs send when they hold a placeholder, signed anew, is what they send when they hold the key.

`make_vectors` wrote them down. Beside them: the examples with all their numbers in the vendor's documentation and in its tests.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from policy.aliyun import AliyunCredential, needs_body
from policy.request import Request
from unit_tests.policy.aliyun.wire import arrived, read, signed

WRITTEN = json.loads(Path(__file__).with_name("vectors.json").read_text())
KEY = AliyunCredential(access_key_id=WRITTEN["key"][0], access_key_secret=WRITTEN["key"][1], security_token=WRITTEN["key"][2])


def parameters(request: Request) -> list[tuple[str, str]]:
    """In any order: where a parameter stands means nothing to the vendor."""
    return sorted(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))


def authorization(request: Request) -> list[str]:
    """Its parts in any order, for the SDKs differ in that."""
    return sorted(re.split(r",\s*", request.header("authorization") or ""))


@pytest.mark.parametrize("vector", WRITTEN["vectors"], ids=[vector["name"] for vector in WRITTEN["vectors"]])
def test_signed_anew_a_request_is_what_the_sdk_itself_would_have_sent(vector: Any) -> None:
    before, after = read(vector["before"]), read(vector["after"])
    now = signed(before, KEY)
    assert authorization(now) == authorization(after)
    assert parameters(now) == parameters(after)
    assert dict(now.headers) | {"authorization": ""} == dict(after.headers) | {"authorization": ""}
    assert now.target.partition("?")[0] == after.target.partition("?")[0]


def test_every_kind_of_signature_is_among_them() -> None:
    kinds = {vector["name"].partition("/")[0] for vector in WRITTEN["vectors"]}
    assert kinds == {"acs3", "rpc", "rpc-core", "roa", "oss1-old", "oss4-old", "oss1-new", "oss4-new"}
    assert any(needs_body(read(vector["before"])) for vector in WRITTEN["vectors"])


def test_the_documented_example_of_v3() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    request = arrived(
        "POST",
        "ecs.cn-shanghai.aliyuncs.com",
        "/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
        [
            ("x-acs-action", "RunInstances"),
            ("x-acs-version", "2014-05-26"),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-content-sha256", empty),
            ("authorization", "ACS3-HMAC-SHA256 Credential=placeholder,SignedHeaders=host,Signature=00"),
        ],
    )
    credential = AliyunCredential(access_key_id="YourAccessKeyId", access_key_secret="YourAccessKeySecret")
    assert signed(request, credential).header("authorization") == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_the_documented_example_of_the_rpc_style() -> None:
    request = arrived(
        "GET",
        "ecs.cn-beijing.aliyuncs.com",
        "/?AccessKeyId=placeholder&Action=DescribeDedicatedHosts&Format=JSON&RegionId=cn-beijing&SignatureMethod=HMAC-SHA1"
        "&SignatureNonce=edb2b34af0af9a6d14deaf7c1a5315eb&SignatureVersion=1.0&Timestamp=2023-03-13T08%3A34%3A30Z&Version=2014-05-26"
        "&Signature=placeholder",
    )
    credential = AliyunCredential(access_key_id="testid", access_key_secret="testsecret")
    assert signed(request, credential).parameter("AccessKeyId") == "placeholder", "what conditions read stays as it arrived"
    assert ("Signature", "9NaGiOspFP5UPcwX8Iwt2YJXXuk=") in parameters(signed(request, credential))
    assert ("AccessKeyId", "testid") in parameters(signed(request, credential))


OSS4_TARGET = "/1234%2B-/123/1.txt?param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2=&%7Cparam2=&param2="
OSS4_HEADERS = [
    ("x-oss-head1", "value"),
    ("abc", "value"),
    ("ZAbc", "value"),
    ("XYZ", "value"),
    ("content-type", "text/plain"),
    ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
]


@pytest.mark.parametrize(
    ("date", "listed", "token", "signature"),
    [
        ("20231216T162057Z", "", None, "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"),
        ("20231217T034736Z", "", "token", "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea"),
        ("20231216T172512Z", ",AdditionalHeaders=abc;zabc", None, "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f"),
        (
            "20231216T172512Z",
            ",AdditionalHeaders=x-oss-none;ZAbc;x-oss-head1;abc",
            None,
            "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
        ),
    ],
)
def test_the_examples_in_the_vendors_tests_of_object_storage_v4(date: str, listed: str, token: str | None, signature: str) -> None:
    scope = f"{date[:8]}/cn-hangzhou/oss/aliyun_v4_request"
    placeholder = f"OSS4-HMAC-SHA256 Credential=placeholder/{scope}{listed},Signature=00"
    headers = [*OSS4_HEADERS, ("x-oss-date", date), ("Authorization", placeholder)]
    request = arrived("PUT", "bucket.oss-cn-hangzhou.aliyuncs.com", OSS4_TARGET, headers)
    credential = AliyunCredential(access_key_id="ak", access_key_secret="sk", security_token=token)
    said = signed(request, credential).header("authorization") or ""
    assert said.startswith(f"OSS4-HMAC-SHA256 Credential=ak/{scope},")
    assert said.endswith(f",Signature={signature}")
    assert (",AdditionalHeaders=abc;zabc," in said) == bool(listed)


@pytest.mark.parametrize(
    ("method", "target", "headers", "signature"),
    [
        ("PUT", "/nelson", True, "kSHKmLxlyEAKtZPkJhG9bZb5k7M="),
        ("PUT", "/nelson?acl", True, "/afkugFbmWDQ967j1vr6zygBLQk="),
        ("GET", "/?resourceGroup&non-resousce=null", False, "vkQmfuUDyi1uDi3bKt67oemssIs="),
        ("GET", "/?resourceGroup&acl", False, "x3E5TgOvl/i7PN618s5mEvpJDYk="),
    ],
)
def test_the_examples_in_the_vendors_tests_of_object_storage_v1(method: str, target: str, headers: bool, signature: str) -> None:
    more = [
        ("Content-MD5", "eB5eJF1ptWaXm4bijSPyxw=="),
        ("Content-Type", "text/html"),
        ("x-oss-meta-author", "alice"),
        ("x-oss-meta-magic", "abracadabra"),
    ]
    lines = [("x-oss-date", "Wed, 28 Dec 2022 10:27:41 GMT"), ("Authorization", "OSS placeholder:00"), *(more if headers else [])]
    request = arrived(method, "examplebucket.oss-cn-hangzhou.aliyuncs.com", target, lines)
    credential = AliyunCredential(access_key_id="ak", access_key_secret="sk")
    assert signed(request, credential).header("authorization") == f"OSS ak:{signature}"
