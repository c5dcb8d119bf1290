"""What is measured: each module runs one workload in a process of its own, and tells what it found.

A process is started for each cell (`python -m workloads CELL PLACE`), so that no subject inherits the heap, the threads
or the switch interval of another. The modules of peers never import tickglass, because a larger heap costs time.
"""
