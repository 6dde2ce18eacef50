"""Redis Cluster: its client, and the node that has a key.

All of it goes by settings.REDIS_CLUSTER, the options of the client; empty without a cluster.
"""
