-- Judges an MCP request's body under every tool policy of its host, and has the route chosen anew.
--
-- In: the whole body, four headers, and the route's filter context, which lists the policies in order.
-- Out: `x-groyne-m<i>` is `allow` or `deny` for policy number i, and `x-groyne-m` is `read`. It never answers by itself:
-- what it cannot read with certainty is denied under every policy, and should it fail, the route that the request came in
-- on refuses. It means what policy/mcp.py means, limits included; change both.

local MAX_BODY = 256 * 1024
local SUPPORTED = { ["2024-11-05"] = true, ["2025-03-26"] = true, ["2025-06-18"] = true, ["2025-11-25"] = true }

-- What Envoy holds of a request: it would answer a longer one with 413 while this filter waits for the rest of it.
local BUFFER = 1024 * 1024

local lower = string.lower

-- A key as some servers read it: in any case, and with the one letter outside ASCII (U+017F) that they take for one of a
-- wanted key. The longest spelling of a wanted key has six escapes of six characters.
local function folded(key)
  return lower((key:gsub("\197\191", "s")))
end

local function short_key(text, at, stop)
  local length = stop - at - 2
  return length >= 4 and length <= 36 and decoded(text, at, stop) or ""
end

-- Past the object at `at`, which is the `depth`-th container. Of the `wanted` keys, `object.starts` says where the value
-- starts, `object.unclear` whether there is a second one or another spelling, and `object.inner` what is in the value, where
-- that is an object and `wanted` has a table of keys for it.
local function after_object(text, at, depth, wanted)
  local object = { starts = {}, unclear = {}, inner = {} }
  at = after_space(text, at + 1)
  if byte(text, at) == 125 then
    return at + 1, object
  end
  while true do
    local stop = after_string(text, at)
    local key = short_key(text, at, stop)
    local name = folded(key)
    local within = wanted[name]
    at = after_space(text, after_colon(text, stop))
    if within then
      object.unclear[name] = object.starts[name] ~= nil or key ~= name or object.unclear[name]
      object.starts[name] = at
    end
    if within and next(within) and byte(text, at) == 123 then
      at, object.inner[name] = after_object(text, at, depth + 1, within)
    else
      at = after_value(text, at, depth)
    end
    at = after_space(text, at)
    local c = byte(text, at)
    if c == 125 then
      return at + 1, object
    elseif c ~= 44 then
      refuse()
    end
    at = after_space(text, at + 1)
  end
end

-- Where the value of a key starts. One that is unclear may mean one thing here and another to the server.
local function only(object, name)
  if object.unclear[name] then
    refuse()
  end
  return object.starts[name]
end

local function string_at(text, at)
  if at and byte(text, at) == 34 then
    return decoded(text, at, after_string(text, at))
  end
end

local IN_MESSAGE = { method = {}, params = { name = {} } }

-- Past the JSON-RPC message at `at`; a tool call's name is added to `calls`.
local function after_message(text, at, depth, calls)
  if byte(text, at) ~= 123 then
    refuse()
  end
  local stop, message = after_object(text, at, depth, IN_MESSAGE)
  if string_at(text, only(message, "method")) == "tools/call" then
    local params = only(message, "params") and message.inner.params or refuse()
    calls[#calls + 1] = string_at(text, only(params, "name")) or refuse()
  end
  return stop
end

local function after_batch(text, at, calls)
  at = after_space(text, at + 1)
  if byte(text, at) == 93 then
    return at + 1
  end
  while true do
    at = after_space(text, after_message(text, at, 2, calls))
    local c = byte(text, at)
    if c == 93 then
      return at + 1
    elseif c ~= 44 then
      refuse()
    end
    at = after_space(text, at + 1)
  end
end

-- The names of the tools that a body calls.
local function tool_calls(text)
  local calls = {}
  local at = after_space(text, 1)
  if byte(text, at) == 91 then
    at = after_batch(text, at, calls)
  else
    at = after_message(text, at, 1, calls)
  end
  if after_space(text, at) <= #text then
    refuse()
  end
  return calls
end

local function includes(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

local function call_allowed(policy, tool)
  for _, rule in ipairs(policy.rules) do
    if rule.method == "tools/call" and (#rule.tools == 0 or includes(rule.tools, tool)) then
      return rule.allow
    end
  end
  return policy.default_allow
end

-- `calls` is nil where the body could not be read.
local function allowed(policy, calls, version)
  if not calls then
    return false
  elseif #calls == 0 then
    return true
  elseif not SUPPORTED[version] then
    return not policy.unsupported_version_deny
  end
  for _, tool in ipairs(calls) do
    if not call_allowed(policy, tool) then
      return false
    end
  end
  return true
end

local function compressed(headers)
  local encoding = headers:get("content-encoding") or ""
  local bare = encoding:match("^[ \t]*(.-)[ \t]*$")
  return bare ~= "" and lower(bare) ~= "identity"
end

-- Whether a charset other than UTF-8 is mentioned: a server that goes by it may read another call in the same bytes.
local function other_charset(headers)
  local kind = lower(headers:get("content-type") or "") .. ";"
  local rest = kind:gsub('charset[ \t]*=[ \t]*("?)utf%-8%1[ \t]*[;,]', ";")
  return rest:find("charset", 1, true) ~= nil
end

-- The names of the tools that the request calls, or nil where they cannot be known. What the handle gave out before `body`
-- waits for the rest of the request is void after it.
local function calls_of(handle)
  if (tonumber(handle:headers():get("content-length") or 0) or 0) > BUFFER then
    return nil
  end
  local body = handle:body(true)
  local length = body:length()
  if length == 0 then
    return {}
  elseif length > MAX_BODY or compressed(handle:headers()) or other_charset(handle:headers()) then
    return nil
  end
  local read, calls = pcall(tool_calls, body:getBytes(0, length))
  return read and calls or nil
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local policies = context and context:get("policies")
  if not policies then
    return
  end
  local calls = calls_of(handle)
  local headers = handle:headers()
  local version = headers:get("mcp-protocol-version") or ""
  for number, policy in ipairs(policies) do
    local judged, allow = pcall(allowed, policy, calls, version)
    headers:replace("x-groyne-m" .. number - 1, judged and allow and "allow" or "deny")
  end
  headers:replace("x-groyne-m", "read")
  handle:clearRouteCache()
end
