"""Speed of one artifact, measured in a process that does nothing else.

`job` loads an artifact and measures it in a closed loop (`measurement`), where each request follows
the previous one, or in a scenario of MLPerf Inference (`scenarios`). `interference` records other
load on the machine meanwhile; `sweep` finds the best operating point under a latency limit.
"""
