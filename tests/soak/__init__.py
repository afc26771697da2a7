"""The soak: three frameworks in several processes on one store, with users, faults and restarts.

``make soak`` runs it; pytest does not collect it. ``views`` and the apps beside it are the sites,
``users`` walk over them at random and ``recording`` writes down what they asked and were told.
``stores`` and ``faults`` have what befalls them. ``resources`` measures the processes, and a
``witness`` the machine. ``rules`` and the search of ``tests/concurrency`` judge the histories,
``flatness`` the measurements, and ``verdict`` says whether that is good enough.
"""
