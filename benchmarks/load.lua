-- What wrk sends: POST requests whose bodies are the lines of a file, over and over.
--
--     wrk --threads 1 --script load.lua URL -- BODIES [RATE]
--
-- With a rate, so many requests begin each second, whatever the answers take: each moment has its
-- place in a timetable, and the connection that is free next takes the next moment. Only where none
-- is free does a request begin later than it should; those are counted as late. wrk's timers tick
-- in milliseconds, so at several thousand a second a few begin together at each tick.

local ffi = require "ffi"
ffi.cdef [[
typedef struct { long seconds, nanoseconds; } instant;
int clock_gettime(int clock, instant *now);
]]
local MONOTONIC = 1
local instant = ffi.new("instant")

local function milliseconds()
    ffi.C.clock_gettime(MONOTONIC, instant)
    return tonumber(instant.seconds) * 1e3 + tonumber(instant.nanoseconds) / 1e6
end

late = 0 -- global, so that done() can ask the thread for it
local requests, sent = {}, 0
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(arguments)
    for body in io.lines(arguments[1]) do
        local headers = { ["Content-Type"] = "application/json" }
        table.insert(requests, wrk.format("POST", nil, headers, body))
    end
    if arguments[2] then
        local interval = 1e3 / tonumber(arguments[2])
        local begins
        function delay() -- wrk asks each connection that is free how long to wait
            begins = (begins or milliseconds()) + interval
            local left = begins - milliseconds()
            if left < 0 then
                late = late + 1
                return 0
            end
            return left
        end
    end
end

function request()
    sent = sent + 1
    return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
    local errors, behind = summary.errors, 0
    for _, thread in ipairs(threads) do
        behind = behind + thread:get("late")
    end
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format(
        '{"requests": %d, "seconds": %.6f, "failed": %d, "late": %d, "p50": %d, "p99": %d, "max": %d}',
        summary.requests, summary.duration / 1e6, failed, behind,
        latency:percentile(50), latency:percentile(99), latency.max))
end
