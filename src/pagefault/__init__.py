"""Virtual memory for fleets of LLM agents: the public names, and nothing else."""

__all__: list[str] = []
