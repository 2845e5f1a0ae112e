"""Boot of the zygote: `python -I …/worker/wall/__main__.py CONTROL_FD FILTER_FD TEMPLATE_DIR`, packaged with `-IS`.

Isolated mode leaves out where `worker` is, `-S` Debian's packages, and `exit`, which programs of operators may call."""

import site
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path += ["/usr/lib/python3/dist-packages"] * sys.flags.no_site

from worker.wall import zygote  # only now can it be found

if __name__ == "__main__":
    site.setquit()
    control, program, template = sys.argv[1:]
    del sys.argv[1:], sys.orig_argv[1:]  # they name places of the machine
    zygote.main(int(control), int(program), template)
