"""The model budget: who may ask which server when, so that no limit of a server is ever run into.

``settings`` says what the limits are; ``core`` decides, purely, who is next (``meter``, ``limits`` and
``leased`` know how much there is, ``queue`` whose turn it is, ``health`` which servers are up, ``spend`` what
was paid); ``gate`` and ``processor`` put that around real calls.  A cluster shares one budget by leases:
:mod:`pagefault.cluster.scheduler.budget`.
"""
