#!/bin/sh
# When the last worker of a dask.distributed cluster is killed, a future that was submitted through Client.get_executor
# with retries=0 neither fails nor is cancelled: retries count exceptions of the task only, so the task is set back to wait
# for another worker, for ever. Who waits for the futures of an executor has to ask for the workers himself.
#
# Seen with distributed 2024.8.0:
#   done: False, cancelled: False, workers: 0
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q distributed==2024.8.0 dask==2024.8.0 >"$folder/pip" 2>&1 || { tail -n 1 "$folder/pip"; exit 2; }
cd "$folder"
cat >lost.py <<'PY'
import os, signal, subprocess, sys, time
from concurrent.futures import wait
import distributed

if __name__ == "__main__":
    print("distributed", distributed.__version__)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1", protocol="tcp") as cluster:
        words = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny", "--no-dashboard"]
        worker = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with distributed.Client(cluster) as client:
            client.wait_for_workers(1, timeout=60)
            future = client.get_executor(retries=0).submit(time.sleep, 5)
            time.sleep(1)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            wait([future], timeout=20)
            print(f"done: {future.done()}, cancelled: {future.cancelled()}, workers: {len(client.nthreads())}", flush=True)
            os._exit(0)  # closing would wait, too
PY
"$folder/venv/bin/python" lost.py 2>/dev/null | tee seen
grep -q "^done: False, cancelled: False, workers: 0$" seen
