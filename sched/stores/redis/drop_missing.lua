-- Drop attempts from all lists whose rows were deleted by hand: such a claim was never made.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, DUE/ATTEMPT; and so on for each attempt
--
-- Result: {{JOB, DUE/ATTEMPT}, ...}: those that were dropped, because their rows are still missing

local dropped = {}
for at = 1, #ARGV, 2 do
  local job, attempt_key = ARGV[at], ARGV[at + 1]
  if not read_run(job, attempt_key) then
    forget_run(job, attempt_key)
    dropped[#dropped + 1] = {job, attempt_key}
  end
end
return dropped
