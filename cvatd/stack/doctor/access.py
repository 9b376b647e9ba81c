"""Whether people get in: database, migrations, superuser, passwords, rules, origin. Pure."""

import re

from cvatd.stack.doctor.check import Check, Finding
from cvatd.stack.doctor.evidence import Evidence, known
from cvatd.stack.status import initial_password_in_force

# Of a form CVAT's log tells; of the API only the proxy's.
ORIGIN = re.compile(r"Origin checking failed - \S+ does not match|^Origin refused: ")
LAST_LINES = 3
OPA = "cvat-opa"
SERVER = "cvat-server"
PROXY = "cvat-proxy"


def database(seen: Evidence) -> Finding | None:
    facts = seen.database()
    if facts.fault == "refused":
        return Finding("PostgreSQL refuses CVAT's password.", "cvatd secrets rotate database", [facts.words])
    if facts.fault == "no_database":
        return Finding(
            "CVAT's database is not there.", "cvatd up (it makes an empty one), or restore a backup", [facts.words]
        )
    return None


def migrations(seen: Evidence) -> Finding | None:
    facts = seen.database()
    if facts.fault:
        return None  # told by `database`
    init = known(seen.init)
    if facts.migrations is None:
        return Finding("The database is empty: nobody can sign in.", "cvatd init", [init.words])
    if init.state == "unmigrated" and ("migrations are not applied" in init.words or "this image" in init.words):
        return Finding(f"CVAT needs its init: {init.words}.", "cvatd init", [f"{len(facts.migrations)} are applied"])
    return None


def superuser(seen: Evidence) -> Finding | None:
    facts = seen.database()
    if facts.migrations is None:
        return None  # told by `migrations`
    name = seen.settings.superuser.username
    if name in facts.superusers:
        return None
    others = ", ".join(sorted(facts.superusers)) or "none"
    return Finding(f"CVAT has no superuser {name!r}.", "cvatd init", [f"superusers: {others}"])


def initial_password(seen: Evidence) -> Finding | None:
    if not initial_password_in_force(seen.settings, seen.initial_mark, seen.database()):
        return None
    return Finding(
        f"The superuser {seen.settings.superuser.username!r} still has the initial password of the settings.",
        "cvatd secrets rotate superuser",
        ["stack.superuser.initial_password is known to all who read the settings"],
    )


def opa(seen: Evidence) -> Finding | None:
    if not seen.runs(OPA):
        return None  # told by `running`
    rules = known(seen.rules)
    if rules.answers:
        return None
    return Finding("OPA, which decides who may do what, does not answer.", f"cvatd restart {OPA}", [rules.words])


def bundle(seen: Evidence) -> Finding | None:
    if not seen.runs(OPA):
        return None
    rules = known(seen.rules)
    if not rules.answers or rules.bundle:
        return None
    said = [line for line in seen.last_lines(OPA) if "bundle" in line.lower()]
    return Finding(
        "OPA has no rules: it cannot fetch them from cvat-server, and nobody may do anything.",
        f"cvatd doctor names unhealthy; cvatd logs {SERVER}; cvatd restart {OPA}",
        said[-LAST_LINES:] or [rules.words],
    )


def health(seen: Evidence) -> Finding | None:
    http = seen.http()
    if http.status == 200:
        return None
    return Finding(
        f"CVAT's own health check answers with {http.status}: people see an error page.",
        f"cvatd logs {SERVER}",
        [f"{name}: {said}" for name, said in sorted(http.unwell.items())],
    )


def origin(seen: Evidence) -> Finding | None:
    said = [
        line
        for name in (SERVER, PROXY)
        for line in [line for line in seen.last_lines(name) if ORIGIN.search(line)][-LAST_LINES:]
    ]
    if not said:
        return None
    public = seen.settings.public_url
    told = f"stack.public_url is {public}" if public else "stack.public_url is not set"
    return Finding(
        "CVAT refused requests because the proxy in front of it does not tell the address that people use.",
        "let that proxy send X-Forwarded-Proto and X-Forwarded-Host as the browser sees them; set stack.public_url",
        [told, *said],
    )


CHECKS = [
    Check("database", "PostgreSQL refuses CVAT, or has no such database", "`cvatd secrets rotate database`", database),
    Check("migrations", "migrations are not applied", "`cvatd init`", migrations),
    Check("superuser", "the superuser is missing", "`cvatd init`", superuser),
    Check(
        "initial-password",
        "the initial password of the settings is still in force",
        "`cvatd secrets rotate superuser`",
        initial_password,
    ),
    Check("opa", "OPA does not answer", "`cvatd restart cvat-opa`", opa),
    Check("bundle", "OPA has no rules since it cannot reach the server", "what keeps them apart", bundle),
    Check("health", "CVAT's own health check is not 200; which part", "the part says what", health),
    Check("origin", "CVAT refused a request for its Origin (CSRF) behind a proxy", "the proxy's headers", origin),
]
