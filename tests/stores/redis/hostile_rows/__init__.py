"""SECURITY.md section 2, rows 28 to 35: a bad store, as the client of a site gets to know it.

Each framework's site on a real server, with the network, the certificates or the answers spoilt.
How the store itself behaves is tested in detail elsewhere; here is what must come of it in the end.

===  ==========================================================  ================================
row  what                                                        the store, in detail
===  ==========================================================  ================================
28   refused, black hole, silent, half open, cut reply, slices   test_faults, test_server_states
29   TLS: wrong host, wrong CA, expired, plain text              test_tls
30   error replies: what time heals, and what it does not        test_failures
31   READONLY: another connection, bounded; Sentinel names it    test_failures, test_sentinel_views
31   MOVED, ASK: followed, bounded                               test_cluster, test_cluster_views
32   no writes: reads go on; NOSCRIPT: EVAL, once                test_server_states, test_commands
33   a lost reply: the same bytes again, a create never          test_faults, tests/core
34   an exhausted pool; a log-in that has ended                  test_pool, test_login
35   evicted, flushed; down at logout                            the adapters' test_failures
===  ==========================================================  ================================
"""
