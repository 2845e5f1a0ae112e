"""What 200 live workers cost: PSS each, counted over all of them and the zygote they share their pages with."""

import asyncio
from pathlib import Path

from qa.bench.kit import bench, missing_layers
from qa.bench.report import Report

WORKERS = 200


def pss_kib(pid: int) -> int:
    """Proportional set size. Source: proc_pid_smaps(5), smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


async def take(report: Report) -> None:
    """Run and tell."""
    async with bench(missing_layers()) as kit:
        sessions = [await kit.launcher.launch(kit.request(number)) for number in range(WORKERS)]
        each = [pss_kib(session.attestation.pid) for session in sessions]
        await asyncio.gather(*(session.close("bench") for session in sessions))
    report.table(
        f"{WORKERS} live workers",
        [
            ("PSS each, mean", "PSS each, most"),
            (f"{sum(each) / WORKERS / 1024:.2f} MiB", f"{max(each) / 1024:.2f} MiB"),
        ],
    )
    report.judge({"pss": sum(each) / WORKERS / 1024})


if __name__ == "__main__":
    asyncio.run(take(Report()))
