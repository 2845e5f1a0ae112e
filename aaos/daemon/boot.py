"""Boot of the daemon: `python -I …/aaos/daemon/boot.py run [OPTION…]`.

It puts the directory that holds the packages `aaos` and `worker` first on the path (isolated mode leaves it out), so
that private code in a directory of its own is found, and nothing that lies beside it in the file system is. The package
starts it with `-IS`: then it adds the packages of Debian, and what root has installed by pip is not in their way.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path += ["/usr/lib/python3/dist-packages"] * sys.flags.no_site

from aaos.daemon.__main__ import main  # only now can it be found

if __name__ == "__main__":
    sys.exit(main())
