"""The drill: two real sites on one store under a steady load, while its servers come to grief.

``make drill`` runs it; pytest does not collect it. ``ledger`` knows what each user was told, and so
what they may see later; ``load`` makes the requests; ``scenarios`` has the servers and what befalls
them; ``figures`` and ``report`` say what came of it, and whether that is good enough.
"""
