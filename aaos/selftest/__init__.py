"""The self-test: hostile acts tried behind the wall of this installation, and what became of each.

A probe is an act as text, with the one refusal that is right; `program` tries probes and reports, `trial` starts it in
real workers and judges what came. May import: core and the wire format. The acts never run in agentd.
"""
