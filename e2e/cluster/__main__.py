"""The tests' clusters for a person: `python -m e2e.cluster build` fills the cache, `up` starts one and keeps it until Ctrl-C.

python -m e2e.cluster up            a control plane: no root
python -m e2e.cluster up --node     with a node that runs pods, and Groyne's controller's image on it
"""

import argparse
import signal
import sys

from e2e.cluster import ControlPlane, Missing, Node, control_plane, images, node
from e2e.cluster.binaries import binaries
from e2e.cluster.workplace import workplace


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build Kubernetes, if the cache lacks it")
    up = commands.add_parser("up", help="start a cluster, and print where it is")
    up.add_argument("--node", action="store_true", help="one that runs pods")
    given = parser.parse_args()
    try:
        if given.command == "build":
            print(binaries().kube.parent)
            return 0
        with node() if given.node else control_plane() as cluster:
            _keep(cluster)
    except Missing as lack:
        sys.stderr.write(f"{lack}\n")
        return 2
    return 0


def _keep(cluster: ControlPlane) -> None:
    if isinstance(cluster, Node):
        with workplace("image") as work:
            cluster.load(images.controller(work / "controller.tar"), images.CONTROLLER)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
    signal.sigwait(signals)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


if __name__ == "__main__":
    sys.exit(main())
