"""The asyncio shell: feeds events to kernels, commits them in groups, performs their effects."""
