"""The data folder: owners, modes, growth, versions. Pure."""

from cvatd.core import words
from cvatd.stack import releases, secret_files
from cvatd.stack.disk_usage import Size
from cvatd.stack.doctor.check import Check, Finding
from cvatd.stack.doctor.evidence import Evidence, known
from cvatd.stack.doctor.mends import give_folders, make_folders, narrow_secrets

CACHE_BYTES = 20_000_000_000
KVROCKS_BYTES = 20_000_000_000
LOGS_BYTES = 2_000_000_000
UP = "cvatd up"


def folders(seen: Evidence) -> Finding | None:
    missing = known(seen.files).missing
    if not missing:
        return None
    return Finding(
        f"{_count(len(missing), 'folder')} that containers need {'is' if len(missing) == 1 else 'are'} missing.",
        "cvatd doctor --fix folders",
        [str(path) for path in missing],
    )


def ownership(seen: Evidence) -> Finding | None:
    wrong = known(seen.files).wrong
    if not wrong:
        return None
    return Finding(
        f"{_count(len(wrong), 'folder')} cannot be used as its container needs: wrong owner or mode.",
        "cvatd doctor --fix ownership",
        [str(one) for one in wrong],
    )


def writable(seen: Evidence) -> Finding | None:
    unwritable = known(seen.inside).unwritable
    if not unwritable:
        return None
    folder = seen.settings.data_dir / "data"
    return Finding(
        "CVAT cannot write where it keeps its data.",
        f"cvatd doctor --fix ownership; for files below: find {folder} ! -uid 1000 -exec chown -h 1000:1000 {{}} +",
        [f"{path} is not writable for CVAT" for path in unwritable],
    )


def secret_modes(seen: Evidence) -> Finding | None:
    wide = known(seen.files).wide
    if not wide:
        return None
    return Finding(
        "Secrets are readable by others on this host.",
        "cvatd doctor --fix secret-modes",
        [f"{path} has mode {mode:04o}" for path, mode in sorted(wide.items())],
    )


def secrets(seen: Evidence) -> Finding | None:
    lost = known(seen.files).lost_secrets
    if not lost:
        return None
    commands = {
        secret_files.POSTGRES: "cvatd secrets rotate database",
        secret_files.SUPERUSER: "cvatd secrets rotate superuser",
    }
    return Finding(
        f"{_count(len(lost), 'secret')} of a stack that was initialised {'is' if len(lost) == 1 else 'are'} lost.",
        "; ".join(commands.get(name, UP) for name in lost),
        [f"{secret_files.path(seen.settings, name)} is not there" for name in lost],
    )


def rotation(seen: Evidence) -> Finding | None:
    changing = known(seen.files).changing_secrets
    if not changing:
        return None
    kinds = {secret_files.POSTGRES: "database", secret_files.SUPERUSER: "superuser"}
    return Finding(
        "A change of a password was begun and its end was not seen.",
        "; ".join(f"cvatd secrets rotate {kinds.get(name, name)}" for name in changing),
        [f"{secret_files.path(seen.settings, name)}.new waits" for name in changing],
    )


def cache(seen: Evidence) -> Finding | None:
    sizes = known(seen.sizes)
    grown = sizes.cache.bytes > CACHE_BYTES
    if not grown and not sizes.stale_exports:
        return None
    where = seen.settings.data_dir / "data" / "cache"
    evidence = [f"{where} holds {_size(sizes.cache)}"]
    if sizes.stale_exports:
        age = words.duration(seen.now - sizes.oldest_export_at)
        evidence.append(f"{_count(sizes.stale_exports, 'export')} older than two days, the oldest of {age}")
    return Finding(
        "The cache of exports is not cleaned." if sizes.stale_exports else "The cache of exports has grown large.",
        "cvat-manage runperiodicjob cron_export_cache_directory_cleanup; see that the queue `cleaning` has its worker",
        evidence,
        urgent=False,
    )


def kvrocks(seen: Evidence) -> Finding | None:
    size = known(seen.sizes).kvrocks
    if size.bytes <= KVROCKS_BYTES:
        return None
    return Finding(
        "The cache of frames (kvrocks) has grown large. It can be made anew at any time.",
        "cvatd shell kvrocks, then: COMPACT (FLUSHALL empties it)",
        [f"{seen.settings.data_dir / 'kvrocks'} holds {_size(size)}"],
        urgent=False,
    )


def logs(seen: Evidence) -> Finding | None:
    size = known(seen.sizes).logs
    if size.bytes <= LOGS_BYTES:
        return None
    return Finding(
        "CVAT's own logs have grown large.",
        f"find {seen.settings.data_dir / 'logs'} -name '*.log*' -mtime +14 -delete",
        [f"{seen.settings.data_dir / 'logs'} holds {_size(size)}"],
        urgent=False,
    )


def postgres_major(seen: Evidence) -> Finding | None:
    major = known(seen.files).postgres_major
    wanted = releases.find(seen.stack.version).postgres_major
    if seen.settings.database is not None or major is None or major == wanted:
        return None
    return Finding(
        f"The data of PostgreSQL are of version {major}, and CVAT {seen.stack.version} runs version {wanted}: "
        "it does not start on them.",
        f"set stack.images.postgres to a PostgreSQL {major}, `cvatd up`, pg_dumpall; then restore into an empty folder",
        [f"{seen.settings.data_dir / 'postgres' / 'PG_VERSION'} says {major}"],
    )


def data_version(seen: Evidence) -> Finding | None:
    belongs = known(seen.files).data_version
    if belongs is None or releases.parse(belongs) <= releases.parse(seen.stack.version):
        return None
    return Finding(
        f"The data belong to CVAT {belongs}, newer than the images ({seen.stack.version}), which cannot read them.",
        f"set stack.version to {belongs}, then cvatd up",
        [f"{seen.settings.data_dir / 'state' / 'version.json'} says {belongs}"],
    )


def share(seen: Evidence) -> Finding | None:
    if seen.settings.share is None:
        return None
    fault = known(seen.inside).share_fault
    if not fault:
        return None
    return Finding(
        "CVAT, which runs as user 1000, cannot read the connected share.",
        f"chmod -R o+rX {seen.settings.share}; a network share must be mounted before `cvatd restart`",
        [f"{seen.settings.share}: {fault}"],
    )


def _size(size: Size) -> str:
    return f"{'' if size.whole else 'at least '}{words.size(size.bytes)}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


CHECKS = [
    Check("folders", "a folder that containers need is missing", "`cvatd doctor --fix folders`", folders, make_folders),
    Check(
        "ownership",
        "a folder has another owner or a wider mode than its container needs",
        "`cvatd doctor --fix ownership`",
        ownership,
        give_folders,
    ),
    Check("writable", "CVAT cannot write its data, logs or keys", "right owners, see `ownership`", writable),
    Check(
        "secret-modes",
        "passwords or keys are readable by others",
        "`cvatd doctor --fix secret-modes`",
        secret_modes,
        narrow_secrets,
    ),
    Check("secrets", "a password file of an initialised stack is lost", "`cvatd secrets rotate ...`", secrets),
    Check("rotation", "a change of a password is half done", "the same `cvatd secrets rotate ...` again", rotation),
    Check(
        "cache",
        "the cache of exports is above 20 GB, or holds exports older than two days",
        "run the cleaning job, give its queue a worker",
        cache,
    ),
    Check("kvrocks", "the cache of frames is above 20 GB", "`COMPACT` or `FLUSHALL` in `cvatd shell kvrocks`", kvrocks),
    Check("logs", "CVAT's log files are above 2 GB", "delete old ones", logs),
    Check(
        "postgres-major",
        "the data were made by another major version of PostgreSQL",
        "dump with the old version, restore with the new",
        postgres_major,
    ),
    Check("data-version", "the data belong to a newer CVAT than the images", "set `stack.version`", data_version),
    Check("share", "user 1000 cannot read the connected share", "its modes; mount it before the start", share),
]
