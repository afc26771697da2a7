"""Certificates for servers on this machine, from an authority made for this run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: the authority, and a server's and a client's certificate and key."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Write the files into `directory`."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(directory / "ca.pem")
        for name, identities in {
            "server": ("localhost", "127.0.0.1", "::1"),
            "client": ("sessionstore-tests",),
        }.items():
            issued = authority.issue_cert(*identities)
            issued.private_key_pem.write_to_path(directory / f"{name}.key")
            for index, blob in enumerate(issued.cert_chain_pems):
                blob.write_to_path(directory / f"{name}.pem", append=index > 0)
        return cls(
            ca=directory / "ca.pem",
            server=directory / "server.pem",
            server_key=directory / "server.key",
            client=directory / "client.pem",
            client_key=directory / "client.key",
        )
