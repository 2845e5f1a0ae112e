"""The kernel side of an agent: who lives, what its worker may ask and in which order, and how it ends.

Reading order: registry (who lives), order (the state machine of one session), pace (rates), asked (provenance of
calls), context (what the model sees), turns (the model is asked), service (answers frames), changes (what nobody
reported), runner (one agent from role to outcome). It may import core, llm, the ports of
store and sandbox, broker and tools; never plan or daemon.
"""
