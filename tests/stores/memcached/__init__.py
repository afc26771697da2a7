"""The Memcached store: its own client, against scripted and real servers."""
