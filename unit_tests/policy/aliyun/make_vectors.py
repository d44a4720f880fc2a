"""Writes vectors.json: requests as the vendor's own SDKs send them, each signed with a placeholder and with another key.

Not a test. The SDKs bring twenty packages with them, so they are no dependency of ours; to make the vectors anew:

    uv run --no-project --with alibabacloud-tea-openapi==0.4.6 --with aliyun-python-sdk-core==2.16.1 --with oss2==2.19.1 \
        --with alibabacloud-oss-v2==1.4.1 --with freezegun python unit_tests/policy/aliyun/make_vectors.py

No request leaves the process: what the SDKs hand to `requests` is taken down and an error raised in its place.
"""

import base64
import contextlib
import json
import logging
import platform
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import aliyunsdkcore.vendored.requests.adapters as vendored
import freezegun
import oss2
import requests.adapters
from alibabacloud_tea_openapi.client import Client
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config, OpenApiRequest, Params
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from aliyunsdkcore.utils import parameter_helper
from darabonba.runtime import RuntimeOptions

PLACEHOLDER = ("LTAIplaceholder", "placeholder-secret", "placeholder-token")
REAL = ("STS.NTreal", "real/secret+with=signs", "CAIS+real/token==with&signs")
RELEASE = platform.release()
MOMENT = "2026-03-04 05:06:07"
NASTY = ["plain", "with space", "a+b", "a*b~c", "ü€", "100%", "a/b?c=d&e", "", "=", "(x)!'", "%2F", '"quoted"', "a,b;c:d@e"]
NAMES = ["a", "a.1", "a-b", "aB", "Z", "Filter.1.Value", "x_y", "~t"]
Call = Callable[[tuple[str, str, str]], None]


class TakenError(OSError):
    pass


def take(seen: list[dict[str, Any]]) -> Callable[..., Any]:
    def send(self: object, request: Any, **_: object) -> None:
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else b"".join(body)
        # Where the machine's kernel stands in spite of `still`, nobody signed it.
        headers = {name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()}
        headers = {name: value.replace(RELEASE, "6.1") for name, value in headers.items()}
        host = next((value for name, value in headers.items() if name.lower() == "host"), urlsplit(request.url).netloc)
        lines = [[name, value] for name, value in headers.items() if name.lower() != "host"]
        said = {"method": request.method, "host": host, "target": request.path_url, "headers": lines}
        seen.append({**said, "body": base64.b64encode(body).decode()})
        raise TakenError

    return send


@contextlib.contextmanager
def still(number: int) -> Iterator[None]:
    """Time, nonces and randomness are the same in both runs of a case."""
    nonce = str(uuid.UUID(int=number))
    with (
        freezegun.freeze_time(MOMENT),
        mock.patch.object(Utils, "get_nonce", return_value=nonce),
        mock.patch.object(parameter_helper, "get_uuid", return_value=nonce),
        mock.patch.object(platform, "release", return_value="6.1"),
    ):
        yield


def sent(number: int, call: Call, key: tuple[str, str, str]) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []
    with (
        still(number),
        mock.patch.object(requests.adapters.HTTPAdapter, "send", take(seen)),
        mock.patch.object(vendored.HTTPAdapter, "send", take(seen)),
        contextlib.suppress(Exception),
    ):
        call(key)
    return seen[0]


def query(rng: random.Random) -> dict[str, str]:
    return {name: rng.choice(NASTY) for name in rng.sample(NAMES, rng.randint(0, 5))}


def tea(key: tuple[str, str, str]) -> Any:
    config = Config(
        access_key_id=key[0], access_key_secret=key[1], security_token=key[2], type="sts", endpoint="ecs.cn-hangzhou.aliyuncs.com"
    )
    return Client(config)


def runtime() -> Any:
    return RuntimeOptions(autoretry=False, max_attempts=1)


def asked(**fields: Any) -> Any:
    return OpenApiRequest(**fields)


def acs3(rng: random.Random) -> Call:
    roa, method = rng.random() < 0.5, rng.choice(["GET", "POST", "PUT", "DELETE"])
    kind = rng.choice(["formData", "json"]) if method in ("POST", "PUT") else "json"
    params = Params(
        action="DescribeThings",
        version="2014-05-26",
        protocol="HTTPS",
        pathname=rng.choice(["/clusters/c-1/nodes", "/a%20b/~c", "/"]) if roa else "/",
        method=method,
        auth_type="AK",
        style="ROA" if roa else "RPC",
        req_body_type=kind,
        body_type="json",
    )
    body = {"Text": rng.choice(NASTY), "List": ["1", "2"]} if method in ("POST", "PUT") else None
    request = asked(query=query(rng), body=body, headers={"x-acs-extra": "said twice, once"} if rng.random() < 0.3 else {})
    return lambda key: tea(key).call_api(params, request, runtime())


def rpc(rng: random.Random) -> Call:
    method = rng.choice(["GET", "POST"])
    body = {"Text": rng.choice(NASTY), "a.1": "x"} if method == "POST" and rng.random() < 0.6 else None
    parameters = query(rng)
    return lambda key: tea(key).do_rpcrequest(
        "DescribeThings", "2014-05-26", "HTTPS", method, "AK", "json", asked(query=dict(parameters), body=body), runtime()
    )


def rpc_core(rng: random.Random) -> Call:
    method, parameters, text = rng.choice(["GET", "POST"]), query(rng), rng.choice(NASTY)

    def call(key: tuple[str, str, str]) -> None:
        request = CommonRequest(domain="ecs.cn-hangzhou.aliyuncs.com", version="2014-05-26", action_name="DescribeThings")
        request.set_method(method)
        request.set_protocol_type("https")
        for name, value in parameters.items():
            request.add_query_param(name, value)
        if method == "POST":
            request.add_body_params("Text", text)
        client = AcsClient(region_id="cn-hangzhou", credential=StsTokenCredential(*key), auto_retry=False)
        client.do_action_with_exception(request)

    return call


def roa(rng: random.Random) -> Call:
    method, parameters = rng.choice(["GET", "POST", "DELETE"]), query(rng)
    body = {"text": rng.choice(NASTY)} if method == "POST" else None
    path = rng.choice(["/clusters/c-1/nodes", "/stacks", "/a/~b"])
    return lambda key: tea(key).do_roarequest(
        "DescribeThings", "2019-12-10", "HTTPS", method, "AK", path, "json", asked(query=dict(parameters), body=body), runtime()
    )


OBJECTS = ["plain.txt", "dir/with space/a+b.txt", "ü/€.txt", "a~b(c)!'*.txt", "1234+-/123/1.txt", "a=b&c,d;e:f@g$h"]


def oss_old(rng: random.Random, version: str) -> Call:
    name, extra = rng.choice(OBJECTS), rng.choice([{}, {"x-oss-meta-note": "of gold"}, {"Content-Type": "text/plain", "x-oss-head1": "v"}])
    what = rng.randrange(5)

    def call(key: tuple[str, str, str]) -> None:
        auth = oss2.StsAuth(*key, auth_version=version)
        bucket = oss2.Bucket(auth, "https://oss-cn-hangzhou.aliyuncs.com", "my-bucket", region="cn-hangzhou", enable_crc=False)
        (
            lambda: bucket.put_object(name, b"some content", headers=extra),
            lambda: bucket.get_object(name, params={"x-oss-process": "image/resize,w_100", "response-content-type": "text/x y"}),
            lambda: bucket.list_objects(prefix=name, delimiter="/", marker="a b+c"),
            bucket.get_bucket_acl,
            lambda: bucket.init_multipart_upload(name),
        )[what]()

    return call


def oss_new(rng: random.Random, version: str) -> Call:
    name, what, additional = rng.choice(OBJECTS), rng.randrange(5), rng.random() < 0.5

    def call(key: tuple[str, str, str]) -> None:
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(*key)
        config.region, config.signature_version, config.retry_max_attempts = "cn-hangzhou", version, 1
        config.additional_headers = ["host", "range"] if additional else None
        client = oss.Client(config)
        (
            lambda: client.put_object(oss.PutObjectRequest(bucket="my-bucket", key=name, body=b"some content", metadata={"a": "b c"})),
            lambda: client.get_object(oss.GetObjectRequest(bucket="my-bucket", key=name, range_header="bytes=0-9", version_id="v 1")),
            lambda: client.list_objects_v2(oss.ListObjectsV2Request(bucket="my-bucket", prefix=name, delimiter="/")),
            lambda: client.get_bucket_acl(oss.GetBucketAclRequest(bucket="my-bucket")),
            lambda: client.list_buckets(oss.ListBucketsRequest(prefix="a b")),
        )[what]()

    return call


KINDS: dict[str, Callable[[random.Random], Call]] = {
    "acs3": acs3,
    "rpc": rpc,
    "rpc-core": rpc_core,
    "roa": roa,
    "oss1-old": lambda rng: oss_old(rng, "v1"),
    "oss4-old": lambda rng: oss_old(rng, "v4"),
    "oss1-new": lambda rng: oss_new(rng, "v1"),
    "oss4-new": lambda rng: oss_new(rng, "v4"),
}


def main(each: int) -> None:
    logging.disable()
    vectors = []
    for kind, make in KINDS.items():
        for number in range(each):
            call = make(random.Random(f"{kind}/{number}"))
            before, after = (sent(number, call, key) for key in (PLACEHOLDER, REAL))
            vectors.append({"name": f"{kind}/{number}", "before": before, "after": after})
    place = Path(__file__).with_name("vectors.json")
    text = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors)
    place.write_text(f'{{"key": {json.dumps(REAL)}, "vectors": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 12)
