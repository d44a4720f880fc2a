-- In: the path, and the route's filter context, which lists the names of query parameters that conditions read.
-- Out: `x-groyne-q-<name in hex>` holds the first occurrence of each that is there, percent-decoded, and `x-groyne-q` is
-- `read`. Where the context says `unescape`, `x-groyne-u` holds the path with its escaped slashes as slashes.
-- Then the route is chosen anew. It means what policy/normalise.py's parse_query means; change both.

local char, match, gmatch, gsub, format, byte = string.char, string.match, string.gmatch, string.gsub, string.format, string.byte

-- A NUL would end the header's value there; the two bytes in its place are in no text.
local function unescaped(digits)
  return digits == "00" and "\192\128" or char(tonumber(digits, 16))
end

local function decoded(text)
  return (gsub(text, "%%(%x%x)", unescaped))
end

local function hexadecimal(text)
  return (gsub(text, ".", function(character) return format("%02x", byte(character)) end))
end

local function parameters(path)
  local found = {}
  for pair in gmatch(match(path, "%?(.*)$") or "", "[^&]+") do
    local name, value = match(pair, "^([^=]*)=?(.*)$")
    name = decoded(name)
    if not found[name] then
      found[name] = decoded(value)
    end
  end
  return found
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local wanted = context and context:get("parameters")
  if not wanted then
    return
  end
  local headers = handle:headers()
  local found = parameters(headers:get(":path") or "")
  for _, name in ipairs(wanted) do
    if found[name] then
      headers:replace("x-groyne-q-" .. hexadecimal(name), found[name])
    end
  end
  if context:get("unescape") then
    local path = match(headers:get(":path") or "", "^[^?]*")
    headers:replace("x-groyne-u", (gsub(gsub(path, "%%2[fF]", "/"), "%%5[cC]", "/")))
  end
  headers:replace("x-groyne-q", "read")
  handle:clearRouteCache()
end
