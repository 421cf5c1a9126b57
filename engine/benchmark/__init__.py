"""Speed of one artifact, measured in a process that does nothing else.

`job` loads an artifact and measures it: in closed loop (`measuring`), where each request follows
the last, or as in a scenario of MLPerf Inference (`scenarios`, `offline`, `server`). `noise`
watches the machine meanwhile; `sweet_spot` finds the best of many settings under a limit.
"""
