"""Signs a request for Alibaba Cloud anew: signed with a placeholder key when it came, it leaves signed with the real one.

    sign   → which of the vendor's signatures the request carries decides which it gets: there is no second guess
    acs3   → ACS3-HMAC-SHA256, the OpenAPI's current one (V3)
    rpc    → HMAC-SHA1 in the query string (RPC style, V1)
    roa    → `Authorization: acs …` (ROA style, V1)
    oss4   → OSS4-HMAC-SHA256, object storage V4
    oss1   → `Authorization: OSS …`, object storage V1

Pure: no clock and no randomness. Date and nonce are the request's own; how old it may be is for the vendor to say. A request
that came unsigned says neither, nor how it wants to be signed: it is not signed. Everything is Latin-1, one character a byte.
"""

from policy.aliyun.sign import needs_body as needs_body
from policy.aliyun.sign import sign as sign
from policy.aliyun.values import AliyunCredential as AliyunCredential
from policy.aliyun.values import Signed as Signed
from policy.aliyun.values import Unsignable as Unsignable
from policy.aliyun.values import Why as Why
