-- Run a script, which is in front of this file as the function `one`, for each item of a batch.
--
-- KEYS[1]  the store's base
-- ARGV     how many arguments an item has, then those of each item
--
-- Result: the script's answer to each item, in their order; {'failed', error} where it was aborted. What it had
-- written until then is kept, as when it is run alone; no other item is affected.

local count, answers = tonumber(ARGV[1]), {}
for first = 2, #ARGV, count do
  local done, answer = pcall(one, {unpack(ARGV, first, first + count - 1)})
  if not done then
    local problem = type(answer) == 'table' and answer.err or tostring(answer) -- Redis before 7 raises texts
    -- Another server has these keys now; it is the one to answer, and nothing was written here.
    if string.find(problem, 'READONLY ', 1, true) then return redis.error_reply(problem) end
    answer = {'failed', problem}
  end
  answers[#answers + 1] = answer
end
return answers
