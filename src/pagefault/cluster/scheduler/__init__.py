"""Who is where: the directory and the rules of placement.  Pure; the actor around it is in scheduler_actor."""
