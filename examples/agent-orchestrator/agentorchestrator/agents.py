"""What an agent is asked, and what it answers."""

AGENTS = ("planner", "writer", "critic")


def describe(name, debug=False):
    """One line about an agent; with `debug` a longer one."""
    if name not in AGENTS:
        raise KeyError(f"there is no agent {name}")
    return f"{name} is ready" + (f" ({AGENTS.index(name) + 1} of {len(AGENTS)})" if debug else "")
