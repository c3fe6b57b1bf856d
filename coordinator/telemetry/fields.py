"""The names of fields in log lines, one for each thing, whoever logs it.

Somebody who looks for a node writes `node_id=7` and finds every line. A test compares the calls in the code
with this table; a new field gets its line here first.
"""

from __future__ import annotations

from collections.abc import Mapping

FIELDS: Mapping[str, str] = {
    "access_id": "id of a request for access",
    "blocks": "blocks of memory that Python holds",
    "bytes_in": "bytes received on a connection",
    "bytes_out": "bytes sent on a connection",
    "capability_version": "what the client says it understands",
    "closed": "how many peers of a gateway went",
    "connection": "short name of a control connection, within this process",
    "connections": "how many connections",
    "count": "how many instances are at work",
    "detail": "what a gateway noticed, in a sentence",
    "entries": "how many audit entries",
    "error": "message of an error, when the error itself is not logged",
    "expiry": "when a key expires",
    "identity": "issuer and subject of somebody at an identity provider",
    "instance": "id of a server among several on one database",
    "interface": "name of a network interface",
    "kind": "of what a gateway noticed",
    "machine_key": "MachineKey of a client, in full or its beginning",
    "method": "HTTP method",
    "names": "of those a line is about, or the first of them",
    "node_id": "id of a node",
    "notice": "a remark about the configuration",
    "on_duty": "whether this instance does what only one shall do",
    "open_streams": "requests that were under way when a connection ended",
    "opened": "how many peers of a gateway came",
    "path": "of a file, or of an HTTP request without its query",
    "peer": "public key of a WireGuard peer",
    "peers": "how many peers a gateway has, or a line is about",
    "problems": "everything that is wrong with a policy",
    "profiles": "names of access profiles",
    "reason": "why something was refused or ended",
    "refused": "how many were refused so far",
    "remote": "address of the other side, as far as proxies are believed",
    "request_id": "names one request; also shown to whoever sent it",
    "requests": "how many requests a connection carried",
    "restart": "whether the program starts again in place",
    "seconds": "how long it took",
    "server_url": "the address clients use",
    "sink": "where audit entries go",
    "status": "HTTP status of the answer",
    "target": "kind and id of what an alert is about",
    "task": "name of a background task",
    "url": "where something was fetched from",
    "version": "of this program, or of a gateway's wish",
}
