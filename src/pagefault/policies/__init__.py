"""What stays in a context, what an evicted page leaves behind, and what comes back with a page fault.

Policies import nothing of the rest of the project: a policy that runs live is the object that the lab
measures.  :mod:`~pagefault.policies.contract` is all that a policy author needs,
:mod:`~pagefault.policies.registry` turns names from a configuration into policies.
"""
