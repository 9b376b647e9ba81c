"""Run in cvat-server as CVAT's own user: which names it finds, which folders it can write, whether it reads the share.

The question is the first argument, the answer is on standard output; both are JSON.
"""

import json
import os
import socket
import sys

question = json.loads(sys.argv[1])
unresolved = {}
for name in question["names"]:
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        unresolved[name] = str(error)
share_fault = ""
if question["share"]:
    try:
        unreadable = [e.name for e in os.scandir(question["share"]) if not os.access(e.path, os.R_OK)]
        if unreadable:
            share_fault = f"{len(unreadable)} entries cannot be read, such as {sorted(unreadable)[0]}"
    except OSError as error:
        share_fault = str(error)
unwritable = [path for path in question["writable"] if not os.access(path, os.W_OK | os.X_OK)]
print(json.dumps({"unresolved": unresolved, "unwritable": unwritable, "share_fault": share_fault}))
