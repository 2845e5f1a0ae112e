"""What is checked in the guest, in order: each a function that returns what it saw, or fails with it.

Invariant: a check leaves the daemon running, unless the next one says otherwise. Nothing here is timed: durations are
shown and decide nothing. What makes warnings in the journal comes after `is quiet`, which wants none.
"""

from collections.abc import Callable, Mapping

from qa.vm import (
    checks,
    checks_cells,
    checks_ends,
    checks_journal,
    checks_leaks,
    checks_life,
    checks_limits,
    checks_package,
    checks_spaces,
    checks_users,
)
from qa.vm.guest import Guest

Check = Callable[[Guest], str]

_ORDER: tuple[Check, ...] = (
    checks.boots,
    checks.installs,
    checks.serves,
    checks.is_well,
    checks.is_hardened,
    checks_users.has_users,
    checks.answers_an_operator,
    checks.is_measured,
    checks.compares_two_pages,
    checks_users.refuses_with_the_grant,
    checks_users.keeps_strangers_out,
    checks_users.keeps_users_apart,
    checks_users.keeps_modes,
    checks_package.is_held_by_its_profile,
    checks_limits.attests_all_layers,
    checks_journal.is_in_the_journal,
    checks.wakes_by_its_socket,
    checks_spaces.keeps_what_a_run_made,
    checks_journal.is_quiet,
    checks_package.passes_its_own_tests,
    checks.takes_a_model,
    checks_limits.stands_still_while_it_is_paused,
    checks_limits.ends_what_is_out_of_memory,
    checks_limits.ends_what_has_drifted,
    checks_spaces.bounds_what_a_run_makes,
    checks_cells.ends_a_cell_that_has_drifted,
    checks_cells.bears_four_greedy_cells_at_once,
    checks_cells.bears_eight_cells_that_burn_processors,
    checks_leaks.leaves_nothing_after_many_runs,
    checks_leaks.leaves_nothing_after_many_cells,
    checks_leaks.bears_kills_of_all_that_is_below_it,
    checks_ends.keeps_a_workspace_over_its_own_death,
    checks_life.survives_its_own_death,
    checks.breaks_no_rule,
    checks_package.withstands_its_own_attacks,
    checks_journal.takes_no_text_for_fields,
    checks_journal.answers_what_the_documents_ask,
    checks_journal.explains_itself,
    checks.keeps_edited_settings,
    checks.says_what_is_wrong,
    checks_ends.says_that_its_disk_takes_nothing,
    checks.goes_away,
)
_SLOW = frozenset(
    {
        checks.wakes_by_its_socket,
        checks.takes_a_model,
        checks_cells.bears_four_greedy_cells_at_once,
        checks_cells.bears_eight_cells_that_burn_processors,
        checks_limits.stands_still_while_it_is_paused,
        checks_leaks.leaves_nothing_after_many_runs,
        checks_leaks.leaves_nothing_after_many_cells,
        checks_leaks.bears_kills_of_all_that_is_below_it,
        checks_ends.keeps_a_workspace_over_its_own_death,
        checks_ends.says_that_its_disk_takes_nothing,
        checks_spaces.keeps_what_a_run_made,
        checks_spaces.bounds_what_a_run_makes,
        checks_cells.ends_a_cell_that_has_drifted,
        checks_journal.takes_no_text_for_fields,
        checks_package.withstands_its_own_attacks,
        checks.keeps_edited_settings,
        checks.says_what_is_wrong,
        checks_package.passes_its_own_tests,
    }
)

CHECKS: Mapping[str, Check] = {check.__name__.replace("_", " "): check for check in _ORDER}
QUICK = tuple(name for name, check in CHECKS.items() if check not in _SLOW)
