-- For hosts intercepted under a wildcard: Host, SNI and CONNECT authority must be one name, else 421.
local function refuse(handle)
  handle:respond({[":status"] = "421", ["content-type"] = "application/json"}, '{"error":"request_refused","reason":"HostMismatch"}')
end

-- A name that is not there is empty in a header and a dash in a log.
local function shown(name)
  return name and name ~= "" and name ~= "-" and name or nil
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local authority = string.lower(headers:get(":authority") or "")
  local host = string.gsub(string.gsub(authority, ":%d+$", ""), "%.$", "")
  local sni, authority_of_connect = string.match(headers:get("x-groyne-names") or "", "^(.*)|(.*)$")
  local server_name, connect = shown(sni), shown(authority_of_connect)
  if not server_name and not connect then
    return refuse(handle)
  end
  if (server_name and server_name ~= host) or (connect and connect ~= host) then
    return refuse(handle)
  end
end
