"""Redis in more than one process: a primary under Sentinel, and Redis Cluster.

Every node is a real process on a port of loopback and can be killed, frozen, thawed and started
again by itself, which is what failovers are tested with.
"""

from tests.support.redis_topologies.cluster import RedisCluster, run_cluster
from tests.support.redis_topologies.nodes import RedisNode
from tests.support.redis_topologies.sentinel import SentinelGroup, run_sentinel

__all__ = ["RedisCluster", "RedisNode", "SentinelGroup", "run_cluster", "run_sentinel"]
