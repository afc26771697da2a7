"""What stores that talk to servers have in common; nothing here knows a protocol.

===========  ================================================================================
topology.py  which servers there are, and what has been seen of each
watching.py  a thread that keeps a topology up to date
routing.py   where a command goes at once, and what takes over if that fails
steps.py     what a flow may ask of a transport, beside sending a command
pools.py     the sync transport: a pool of connections for each server
channel.py   one asyncio connection: replies matched to commands by their order
line.py      one event loop's connection to a server, shared by its tasks
lines.py     the asyncio transport: one event loop's lines to all servers
===========  ================================================================================
"""
