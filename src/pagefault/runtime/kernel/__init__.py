"""One agent as a pure state machine: events in, effects out.

No clock, randomness, input or output lives here.  A host feeds events to :class:`.agent.AgentState`,
records them, and performs the effects that come back.
"""
