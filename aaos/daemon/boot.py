"""Boot of the daemon: `python -I …/aaos/daemon/boot.py run [OPTION…]`.

It puts the directory that holds the packages `aaos` and `worker` first on the path (isolated mode leaves it out), so
that private code in a directory of its own is found, and nothing that lies beside it in the file system is.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aaos.daemon.__main__ import main  # only now can it be found

if __name__ == "__main__":
    sys.exit(main())
