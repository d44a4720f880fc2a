-- A strict JSON reader that works on positions: `after_x` takes a text and where an x starts, and answers the position after
-- it. What is no JSON raises. It never recurses, and copies nothing but what `decoded` is asked for. Bytes are looked at one
-- by one because LuaJIT compiles that, and its patterns it does not. tools.lua comes after this in one chunk and uses it.

local MAX_DEPTH = 64

local byte, char, sub, concat = string.byte, string.char, string.sub, table.concat

local function refuse()
  error("not JSON", 0)
end

local function after_space(text, at)
  local c = byte(text, at)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    at = at + 1
    c = byte(text, at)
  end
  return at
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

local function after_colon(text, at)
  at = after_space(text, at)
  if byte(text, at) ~= 58 then
    refuse()
  end
  return at + 1
end

local function after_key(text, at)
  return after_colon(text, after_string(text, at))
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
