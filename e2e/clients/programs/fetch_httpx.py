import sys

import httpx

with httpx.Client(http2=True, timeout=20) as client:
    answer = client.get(sys.argv[1])
    print(answer.status_code, answer.http_version, answer.text)
