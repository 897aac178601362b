"""A Ray of two nodes, the second of which has another bmtune: `python other_code.py FOLDER`.

Prints, a line each, what a driver that does not bring its package is told, that one that does is told nothing, and
where the second node's worker then has bmtune from.
"""

import shutil
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

import bmtune
from bmtune.errors import ResourceError
from bmtune.search.same_code import brought_along
from bmtune.search.same_code import check_code


def other(folder: Path) -> Path:
    """A folder with a bmtune of another version, in which a module is missing."""
    package = folder / "bmtune"
    shutil.copytree(Path(bmtune.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "search" / "host.py").unlink()
    start = package / "__init__.py"
    start.write_text(start.read_text().replace(f'"{bmtune.__version__}"', '"0.0.9"'))
    return folder


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(other(folder))})
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            check_code()
        except ResourceError as error:
            print(error)
        ray.shutdown()
        ray.init(cluster.address, runtime_env=brought_along({}), log_to_driver=False, logging_level="ERROR")
        print(check_code())

        @ray.remote
        def place() -> str:
            import bmtune.search.host

            return str(bmtune.search.host.__file__)

        print(ray.get(place.remote()))
        ray.shutdown()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
