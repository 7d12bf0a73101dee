"""Whether the server is well."""


def is_well(uptime):
    """`uptime` is in seconds."""
    return uptime >= 0
