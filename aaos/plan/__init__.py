"""From a goal to its results: recognise the goal, make a typed plan, execute the DAG.

`goal` finds the paths that a goal names, `phrases` its clauses, `shapes` turns clauses into a plan, `planner` checks
the plan against roles and envelope, `executor` runs it through the Spawner and RunStore ports. May import everything
below the doors; must not decide what an agent may do (a plan only narrows the envelope, and the runner checks again).
"""
