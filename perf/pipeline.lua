-- SPDX-License-Identifier: MIT
-- The requests of perf/bench.sh for wrk: wrk -s perf/pipeline.lua URL -- KIND DEPTH BODY
-- Without a function `request` wrk sends the one it has prepared, which is its fastest way: only a depth over 1 needs
-- the function, once for each batch.

function init(args)
    local depth = tonumber(args[2])
    if args[1] == "infer" then
        wrk.method = "POST"
        wrk.body = args[3]
        wrk.headers["Content-Type"] = "application/json"
    end
    if depth > 1 then
        local batch = string.rep(wrk.format(), depth)
        request = function()
            return batch
        end
    end
end
