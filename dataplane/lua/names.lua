-- For hosts intercepted under a wildcard: Host, SNI and CONNECT authority must be one name, else 421.
local function refuse(handle)
  handle:respond({[":status"] = "421", ["content-type"] = "application/json"}, '{"error":"request_refused","reason":"HostMismatch"}')
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local authority = string.lower(headers:get(":authority") or "")
  local host = string.gsub(string.gsub(authority, ":%d+$", ""), "%.$", "")
  local server_name, connect = string.match(headers:get("x-groyne-names") or "", "^(.*)|(.*)$")
  if not server_name or (server_name == "-" and connect == "-") then
    return refuse(handle)
  end
  if (server_name ~= "-" and server_name ~= host) or (connect ~= "-" and connect ~= host) then
    return refuse(handle)
  end
end
