"""Scripts for the counts of fixed windows in Redis. Each is atomic."""

from __future__ import annotations

from typing import Final

TAKE: Final = """
local count = tonumber(redis.call('get', KEYS[1]) or '0')
local admitted = 0
if count + tonumber(ARGV[2]) <= tonumber(ARGV[3]) then
    count = redis.call('incrby', KEYS[1], ARGV[2])
    admitted = 1
end
local left = redis.call('pttl', KEYS[1])
local longest = tonumber(ARGV[1]) * 1000
if (admitted == 1 and left < 0) or left > longest then
    redis.call('pexpire', KEYS[1], longest)
    left = longest
end
return {admitted, count, left}
"""
"""Key: the count. Arguments: seconds of a window, cost, amount.

Counts the cost if it fits, and begins a window if there is none. A window is not longer than it should be after Redis's
clock was set back. Result: whether the cost fits, the count, and the milliseconds until the window ends (negative
without one).
"""

GIVE_BACK: Final = """
local count = tonumber(redis.call('get', KEYS[1]) or '0')
if count >= tonumber(ARGV[1]) then
    count = redis.call('decrby', KEYS[1], ARGV[1])
end
return count
"""
"""Key: the count. Argument: what is taken off, unless the window has fewer: it has begun since. Result: the count. The
window's end stays.
"""
