-- Judges an MCP request's body under every tool policy of its host, and has the route chosen anew.
--
-- In: the whole body, two headers, and the route's filter context, which lists the policies in order.
-- Out: `x-groyne-m<i>` is `allow` or `deny` for policy number i, and `x-groyne-m` is `read`. It never answers by itself
-- and never errors: what it cannot read is denied under every policy. It means what policy/mcp.py means; change both.

local MAX_BODY = 1048576
local MAX_DEPTH = 128
local SUPPORTED = { ["2024-11-05"] = true, ["2025-03-26"] = true, ["2025-06-18"] = true, ["2025-11-25"] = true }

local byte, char, sub, concat = string.byte, string.char, string.sub, table.concat

-- The JSON reader. It works on positions: each function takes the text and where a thing starts, and answers where it
-- ends (the position after it). What is no JSON raises, and the one pcall below turns that into a denial. Bytes are looked
-- at one by one because LuaJIT compiles that; its patterns it does not.

local function refuse()
  error("not JSON", 0)
end

local function after_space(text, at)
  while true do
    local c = byte(text, at)
    if c ~= 32 and c ~= 10 and c ~= 13 and c ~= 9 then
      return at
    end
    at = at + 1
  end
end

local function hexadecimal(c)
  if not c then
    refuse()
  elseif c >= 48 and c <= 57 then
    return c - 48
  elseif c >= 65 and c <= 70 then
    return c - 55
  elseif c >= 97 and c <= 102 then
    return c - 87
  end
  refuse()
end

local function code_unit(text, at)
  local a, b, c, d = byte(text, at, at + 3)
  return ((hexadecimal(a) * 16 + hexadecimal(b)) * 16 + hexadecimal(c)) * 16 + hexadecimal(d)
end

-- The bytes after `lead` in well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF.
local function after_multibyte(text, at, lead)
  local low, high, more = 128, 191, 1
  if lead >= 194 and lead <= 223 then
    more = 1
  elseif lead >= 224 and lead <= 239 then
    more = 2
    if lead == 224 then low = 160 elseif lead == 237 then high = 159 end
  elseif lead >= 240 and lead <= 244 then
    more = 3
    if lead == 240 then low = 144 elseif lead == 244 then high = 143 end
  else
    refuse()
  end
  for position = at + 1, at + more do
    local c = byte(text, position)
    if not c or c < low or c > high then
      refuse()
    end
    low, high = 128, 191
  end
  return at + more + 1
end

local ESCAPES = { [34] = '"', [92] = "\\", [47] = "/", [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r", [116] = "\t" }

local function after_string(text, at)
  if byte(text, at) ~= 34 then
    refuse()
  end
  at = at + 1
  while true do
    local c = byte(text, at)
    if not c or c < 32 then
      refuse()
    elseif c == 34 then
      return at + 1
    elseif c == 92 then
      local escape = byte(text, at + 1)
      if escape == 117 then
        code_unit(text, at + 2)
        at = at + 6
      elseif escape and ESCAPES[escape] then
        at = at + 2
      else
        refuse()
      end
    elseif c < 128 then
      at = at + 1
    else
      at = after_multibyte(text, at, c)
    end
  end
end

local function utf8(point)
  if point < 128 then
    return char(point)
  elseif point < 2048 then
    return char(192 + math.floor(point / 64), 128 + point % 64)
  elseif point < 65536 then
    return char(224 + math.floor(point / 4096), 128 + math.floor(point / 64) % 64, 128 + point % 64)
  end
  return char(240 + math.floor(point / 262144), 128 + math.floor(point / 4096) % 64, 128 + math.floor(point / 64) % 64, 128 + point % 64)
end

-- A `\u` escape's text and where it ends: two escapes are one character where they are a pair of surrogates. A surrogate
-- alone stays one, in the three bytes that UTF-8 does not allow, so that it equals no tool's name.
local function unescaped_point(text, at)
  local unit = code_unit(text, at + 2)
  if unit >= 0xD800 and unit <= 0xDBFF and byte(text, at + 6) == 92 and byte(text, at + 7) == 117 then
    local low = code_unit(text, at + 8)
    if low >= 0xDC00 and low <= 0xDFFF then
      return utf8(65536 + (unit - 0xD800) * 1024 + low - 0xDC00), at + 12
    end
  end
  return utf8(unit), at + 6
end

-- What the string at `at` says; it ends before `stop` and after_string has passed it.
local function decoded(text, at, stop)
  local pieces, count, from = {}, 0, at + 1
  at = from
  while at < stop - 1 do
    if byte(text, at) == 92 then
      local piece, next_at = ESCAPES[byte(text, at + 1)], at + 2
      local before = sub(text, from, at - 1)
      if not piece then
        piece, next_at = unescaped_point(text, at)
      end
      pieces[count + 1], pieces[count + 2], count = before, piece, count + 2
      at, from = next_at, next_at
    else
      at = at + 1
    end
  end
  pieces[count + 1] = sub(text, from, stop - 2)
  return concat(pieces)
end

local function digit(c)
  return c and c >= 48 and c <= 57
end

local function after_digits(text, at)
  if not digit(byte(text, at)) then
    refuse()
  end
  repeat
    at = at + 1
  until not digit(byte(text, at))
  return at
end

local function after_number(text, at)
  if byte(text, at) == 45 then
    at = at + 1
  end
  at = byte(text, at) == 48 and at + 1 or after_digits(text, at)
  if byte(text, at) == 46 then
    at = after_digits(text, at + 1)
  end
  local c = byte(text, at)
  if c == 69 or c == 101 then
    local sign = byte(text, at + 1)
    at = after_digits(text, (sign == 43 or sign == 45) and at + 2 or at + 1)
  end
  return at
end

local LITERALS = { [116] = "true", [102] = "false", [110] = "null" }

local function after_scalar(text, at)
  local c = byte(text, at)
  if c == 34 then
    return after_string(text, at)
  end
  local literal = LITERALS[c]
  if not literal then
    return after_number(text, at)
  elseif sub(text, at, at + #literal - 1) ~= literal then
    refuse()
  end
  return at + #literal
end

-- Past a key and its colon.
local function after_key(text, at)
  at = after_space(text, after_string(text, at))
  if byte(text, at) ~= 58 then
    refuse()
  end
  return at + 1
end

-- Past any value that lies `depth` containers deep. `open` holds the closing bracket of every container that is open.
local function after_value(text, at, depth)
  local open, count = {}, 0
  while true do
    at = after_space(text, at)
    local c = byte(text, at)
    local complete = true
    if c == 123 or c == 91 then
      count = count + 1
      if depth + count > MAX_DEPTH then
        refuse()
      end
      open[count] = c + 2
      at = after_space(text, at + 1)
      if byte(text, at) == c + 2 then
        at, count = at + 1, count - 1
      else
        complete = false
        if c == 123 then
          at = after_key(text, at)
        end
      end
    else
      at = after_scalar(text, at)
    end
    while complete do
      if count == 0 then
        return at
      end
      at = after_space(text, at)
      c = byte(text, at)
      if c == open[count] then
        at, count = at + 1, count - 1
      elseif c == 44 then
        complete = false
        at = at + 1
        if open[count] == 125 then
          at = after_key(text, after_space(text, at))
        end
      else
        refuse()
      end
    end
  end
end

-- Past the object at `at`, which is the `depth`-th container. Answers also where the values of the `wanted` keys start;
-- a wanted key that comes twice means one thing here and another upstream, so it is refused.
local function after_object(text, at, depth, wanted)
  local found = {}
  at = after_space(text, at + 1)
  if byte(text, at) == 125 then
    return at + 1, found
  end
  while true do
    local stop = after_string(text, at)
    local key = decoded(text, at, stop)
    at = after_space(text, after_key(text, at))
    if wanted[key] then
      if found[key] then
        refuse()
      end
      found[key] = at
    end
    at = after_space(text, after_value(text, at, depth))
    local c = byte(text, at)
    if c == 125 then
      return at + 1, found
    elseif c ~= 44 then
      refuse()
    end
    at = after_space(text, at + 1)
  end
end

local function string_at(text, at)
  if at and byte(text, at) == 34 then
    return decoded(text, at, after_string(text, at))
  end
end

local IN_MESSAGE = { method = true, params = true }
local IN_PARAMS = { name = true }

-- Past the JSON-RPC message at `at`; a tool call's name is added to `calls`.
local function after_message(text, at, depth, calls)
  if byte(text, at) ~= 123 then
    refuse()
  end
  local stop, message = after_object(text, at, depth, IN_MESSAGE)
  if string_at(text, message.method) == "tools/call" then
    if not message.params or byte(text, message.params) ~= 123 then
      refuse()
    end
    local _, params = after_object(text, message.params, depth + 1, IN_PARAMS)
    calls[#calls + 1] = string_at(text, params.name) or refuse()
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

-- The names of the tools that a body calls. Raises where it cannot be read in one way only.
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

-- The judgement.

local function includes(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return #list == 0
end

local function call_allowed(policy, tool)
  for _, rule in ipairs(policy.rules) do
    if rule.method == "tools/call" and includes(rule.tools, tool) then
      return rule.allow
    end
  end
  return policy.default_allow
end

local function allowed(policy, calls, version)
  if #calls == 0 then
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

local function body_text(handle)
  local body = handle:body(true)
  local length = body:length()
  if length > MAX_BODY then
    refuse()
  end
  return length > 0 and body:getBytes(0, length) or ""
end

-- The calls in the request, or nil where they cannot be known.
local function calls_of(text, headers)
  if #text == 0 then
    return {}
  end
  local encoding = headers:get("content-encoding")
  if encoding and encoding:lower() ~= "identity" then
    return nil
  end
  local read, calls = pcall(tool_calls, text)
  return read and calls or nil
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local policies = handle:filterContext():get("policies")
  local read, text = pcall(body_text, handle)
  local calls = read and calls_of(text, headers) or nil
  local version = headers:get("mcp-protocol-version") or ""
  for number, policy in ipairs(policies) do
    local judged, allow = pcall(allowed, policy, calls, version)
    headers:replace("x-groyne-m" .. number - 1, judged and allow and "allow" or "deny")
  end
  headers:replace("x-groyne-m", "read")
  handle:clearRouteCache()
end
