"""Boot of the zygote: `python -I …/worker/wall/__main__.py CONTROL_FD FILTER_FD TEMPLATE_DIR`.

It puts the directory that holds the `worker` package first on the path (isolated mode leaves it out) and serves.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from worker.wall import zygote  # only now can it be found

if __name__ == "__main__":
    control, program, template = sys.argv[1:]
    del sys.argv[1:], sys.orig_argv[1:]  # they name places of the machine
    zygote.main(int(control), int(program), template)
