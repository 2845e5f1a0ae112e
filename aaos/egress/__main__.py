"""Boot of the egress: `python -I …/aaos/egress/__main__.py CONTROL_FD FILTER_FD TEMPLATE_DIR`.

It finds modules as the boot of the daemon does. The zygote's own code forks and confines it, so that one wall stands
around both; then this boot is told to end.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path += ["/usr/lib/python3/dist-packages"] * sys.flags.no_site

from aaos.egress import serve, warm  # only now can they be found
from worker.wall import zygote

if __name__ == "__main__":
    warm.warm()
    control, program, template = sys.argv[1:]
    del sys.argv[1:], sys.orig_argv[1:]  # they name places of the machine
    zygote.main(int(control), int(program), template, run=serve.run)
