"""`Authorization: OSS KEY:SIGNATURE`: object storage's first signature (V1, HMAC-SHA1).

Signed are the method, content-md5, content-type, the date, the x-oss-* headers and the resource with those parameters that name
a part or an action of it; other parameters, the body and the host are not.
Described at help.aliyun.com/zh/oss/developer-reference/include-signatures-in-the-authorization-header.
"""

from policy.aliyun import oss
from policy.aliyun.encoding import hmac_sha1_base64, lines, pairs, query_of
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.request import Request

SUBRESOURCES = frozenset(
    {
        "accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch", "bucketArchiveDirectRead", "bucketInfo", "callback",
        "callback-var", "cloudboxes", "cname", "comp", "continuation-token", "cors", "delete", "encryption", "endTime", "group",
        "httpsConfig", "img", "inventory", "inventoryId", "lifecycle", "link", "live", "location", "logging", "metaQuery", "objectInfo",
        "objectMeta", "partNumber", "policy", "position", "publicAccessBlock", "qos", "qosInfo", "qosRequester", "redundancyTransition",
        "referer", "regionList", "replication", "replicationLocation", "replicationProgress", "requestPayment", "requesterQosInfo",
        "resourceGroup", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control",
        "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
        "response-expires", "restore", "security-token", "sequential", "startTime", "stat", "status", "style", "styleName", "symlink",
        "tagging", "transferAcceleration", "udf", "udfApplication", "udfApplicationLog", "udfId", "udfImage", "udfImageDesc", "udfName",
        "uploadId", "uploads", "versionId", "versioning", "versions", "vod", "website", "worm", "wormExtend", "wormId",
        "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id", "x-oss-access-point-name",
        "x-oss-async-process", "x-oss-process", "x-oss-redundancy-transition-taskid", "x-oss-request-payer",
        "x-oss-target-redundancy-type", "x-oss-traffic-limit", "x-oss-write-get-object-response",
    }
)  # fmt: skip


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    date, resource = request.header("x-oss-date") or request.header("date"), oss.resource(request)
    if not date:
        return Unsignable(why=Why.DATE)
    if resource is None:
        return Unsignable(why=Why.BUCKET)
    first = "\n".join((request.method, request.header("content-md5") or "", request.header("content-type") or "", date))
    name = oss.OTHER_TOKEN if request.header(oss.OTHER_TOKEN) and not request.header(oss.TOKEN) else oss.TOKEN
    token = written, removed = oss.token_headers(credential, name)
    own = lines(oss.own_headers(request, token))
    text = f"{first}\n{own}{resource.decode('latin-1')}{_subresources(request)}"
    signature = hmac_sha1_base64(credential.access_key_secret, text)
    return Signed(set_headers=(*written, ("authorization", f"OSS {credential.access_key_id}:{signature}")), remove_headers=removed)


def _subresources(request: Request) -> str:
    """In order of name, decoded; an empty value loses its `=`."""
    found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs(query_of(request))]
    text = "&".join(f"{name}={value}" if value else name for name, value in sorted(found) if name in SUBRESOURCES)
    return f"?{text}" if text else ""
