"""The agent that runs in a guest: reports listening ports, tunnels connections, sets the clock, replays file events.

Pure Python 3.6 to the newest. The wire is upstream's protobuf service, so that either end may be upstream's.
"""
