"""Who is told what became of a request: webhooks that profiles name, and the audit log. Neither ever changes a result.

    stream.Resolved ── events ──▶ one event for each hook of each rule that matched
        ──▶ dispatch: a bounded queue; `rendering` (when, URL, headers, body) ──▶ a lane for each receiver
        ──▶ courier: attempts within their time, over connections that `connecting` judges by address
    stream.Resolved ── log ──▶ one line of JSON

What does not fit, cannot be computed or is not taken is dropped and counted under one of few words (`Reason`). Memory is bounded
everywhere, nothing here waits on the path of a request, and no line tells what a request or a receiver said.
"""
