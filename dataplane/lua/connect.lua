-- Splits a CONNECT's authority, already checked by the routes, into host (lower case, no brackets, no final dot) and port.
-- The route's filter context says whether bytes that are neither TLS nor HTTP may go there.
function envoy_on_request(handle)
  local headers = handle:headers()
  local host, port = string.match(headers:get(":authority") or "", "^(.-)%.?:(%d+)$")
  if not host or host == "" then
    handle:respond({[":status"] = "400"}, "")
    return
  end
  host = string.match(host, "^%[(.*)%]$") or host
  headers:replace("x-groyne-host", string.lower(host))
  headers:replace("x-groyne-port", port)
  local context = handle:filterContext()
  headers:replace("x-groyne-raw", context and context:get("raw") and "raw" or "none")
end
