"""Wire types of the control protocol, exactly as stock clients read and write them.

Nothing here decides anything. JSON names are Go's field names; `msgspec.UNSET` means "absent", which is
not the same as `null` or `[]` (see control-protocol facts quoted at each type).
"""
