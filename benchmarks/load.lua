-- For wrk: one user after another asks for BENCH_PATH. Their Cookie headers are the lines of BENCH_COOKIES.
local requests, turn = {}, 0

init = function(_)
  for cookie in io.lines(os.getenv("BENCH_COOKIES")) do
    local headers = {}
    if cookie ~= "" then headers["Cookie"] = cookie end
    requests[#requests + 1] = wrk.format("GET", os.getenv("BENCH_PATH"), headers)
  end
end

request = function()
  turn = turn % #requests + 1
  return requests[turn]
end

done = function(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
