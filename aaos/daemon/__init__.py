"""The door and the wiring: the operator's socket, the table of its methods, start, recovery and stop.

Reading order: __main__ (options), wiring (what is joined to what), listen and peers (who may knock), server and
connection (bytes), operator (the methods), submission (a goal becomes a run), runs (what runs now), recovery (what an
earlier daemon left), systemd. May import every room but cli and gateway.
"""
