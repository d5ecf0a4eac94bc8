-- Load for wrk: one HTTP request as a template, sent again and again.
--
--   wrk ... -s load.lua <url> -- <template file> <tokens file> <seed> [<mean pause in ms>]
--
-- In the template, @TOKEN@ becomes the next line of the tokens file and @SERIAL-18-DIGITS@ a number that no
-- other request of the run has, of the same length, so that Content-Length stays true. With a pause, each
-- connection waits for so long on average (exponentially distributed) before it sends: with many connections that
-- is a load which hardly waits for answers. At the end one line of JSON is printed; times in microseconds.

local function slurp(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local parts, tokens, count, seed = {}, {}, 0, 0

function init(args)
  local text, from = slurp(args[1]), 1
  while true do
    local first, last, marker = text:find("@([A-Z0-9-]+)@", from)
    if not first then
      break
    end
    parts[#parts + 1] = text:sub(from, first - 1)
    parts[#parts + 1] = marker == "TOKEN" and 1 or 2
    from = last + 1
  end
  parts[#parts + 1] = text:sub(from)
  for line in io.lines(args[2]) do
    tokens[#tokens + 1] = line
  end
  seed = tonumber(args[3])
  local pause = tonumber(args[4] or "0")
  if pause > 0 then
    math.randomseed(seed)
    -- wrk looks for this function after init.
    function delay()
      return -pause * math.log(1 - math.random())
    end
  end
end

function request()
  count = count + 1
  local out = {}
  for i = 1, #parts do
    local part = parts[i]
    if part == 1 then
      part = tokens[count % #tokens + 1]
    elseif part == 2 then
      part = string.format("%09d%09d", seed, count)
    end
    out[i] = part
  end
  return table.concat(out)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, '
      .. '"p50_us": %d, "p99_us": %d, "max_us": %d}\n',
    summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
