"""Makes the images in seconds and gives them the names that releases.json asks for.

Real: PostgreSQL 15, Redis 7, nginx, Django with its workers. Kvrocks is a Redis under Kvrocks' command line, and OPA an
imitation that does load its bundle. Nothing in the product may know that these are not CVAT's own.
"""

import hashlib
import sys
import time
from pathlib import Path

from cvatd.stack import releases
from tests.images.archive import Image, write
from tests.images.rootfs import Layer, base_layer, shell, users
from tests.podman_host import ROOT, PodmanHost

HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "images"
SITE = CACHE / "site"
NEWEST = releases.newest()
OLDER = "2.79.0"
OLDEST = "2.21.0"
RELEASES = (OLDEST, OLDER, NEWEST)
LOAD_TIMEOUT_S = 180
POSTGRES = Path("/usr/lib/postgresql/15")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of Python's own library, what no server needs.
NOT_NEEDED = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "locale",
    "config-*",
)


def missing() -> str | None:
    """Why the images cannot be made here; None when they can."""
    if not SITE.joinpath(".ready").exists():
        return "no Django for the images: `make .cache/images/site/.ready` installs it"
    return None if POSTGRES.is_dir() else "no PostgreSQL 15: scripts/install-containers.sh installs it"


def ensure(host: PodmanHost) -> None:
    """All images, in the store of this Podman; nothing is done when it has those of these very sources."""
    mark = host.dir / "images"
    fingerprint = _fingerprint()
    names = sorted({name for version in RELEASES for name in releases.find(version).images.values()})
    if mark.exists() and mark.read_text() == fingerprint and _has_all(host, names):
        return
    archive = write(_images(), CACHE)
    try:
        done = host.run("load", "--quiet", "--input", str(archive), check=False, timeout_s=LOAD_TIMEOUT_S)
        assert done.returncode == 0, done.stderr[-2000:]
    finally:
        archive.unlink()
    host.run("image", "prune", "--force", check=False)  # what had these names before
    mark.write_text(fingerprint)


def _fingerprint() -> str:
    """Of all that images are made from: sources, the list of packages, the host's servers."""
    digest = hashlib.sha256(sys.version.encode())
    files = [file for file in sorted(HERE.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    for file in (*files, ROOT / "requirements" / "images.txt", ROOT / "cvatd" / "stack" / "releases.json"):
        digest.update(f"{file}\0".encode() + file.read_bytes())
    for program in (POSTGRES / "bin" / "postgres", Path("/usr/bin/redis-server"), Path("/usr/sbin/nginx")):
        digest.update(f"{program} {program.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _has_all(host: PodmanHost, names: list[str]) -> bool:
    shown = host.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    return set(names) <= set(shown)


def _images() -> list[Image]:
    base, tools, python = base_layer(), Layer(), _python()
    shell(tools)
    found = [releases.find(version) for version in RELEASES]

    def tags(kind: str, *chosen: releases.Release) -> list[str]:
        return sorted({release.images[kind] for release in chosen or found})

    images = [
        Image(tags("postgres"), [base, tools, _postgres()], _POSTGRES_CONFIG),
        Image(tags("redis"), [base, tools, _redis("redis", "/data")], _REDIS_CONFIG),
        Image(tags("kvrocks"), [base, tools, _redis("kvrocks", "/var/lib/kvrocks/data")], _KVROCKS_CONFIG),
    ]
    nginx = _nginx()
    images.append(Image(tags("nginx"), [base, tools, nginx], _nginx_config("/etc/nginx/nginx.conf")))
    opa = Layer()
    opa.text("/opa.py", (HERE / "opa" / "opa.py").read_text())
    for name in tags("opa"):
        version = name.rpartition(":")[2]
        config = {"Entrypoint": ["/usr/bin/python3", "-S", "/opa.py"], "Env": [PATH, f"OPA_VERSION={version}"]}
        images.append(Image([name], [base, python, opa], config | {"User": "1000:1000"}))
    site = Layer()
    site.tree(SITE, "/opt/site", without=("tests", "LC_MESSAGES", "bin"))
    for release in found:
        layers = [base, tools, python, nginx, site, _server(release)]
        images.append(Image(tags("server", release), layers, _SERVER_CONFIG))
        images.append(Image(tags("ui", release), [base, tools, nginx, _ui(release)], _nginx_config("/etc/ui.conf")))
    return images


_POSTGRES_CONFIG = {
    "Entrypoint": ["/entry.sh"],
    "Cmd": ["postgres"],
    "Env": [f"{PATH}:{POSTGRES}/bin", "PGDATA=/var/lib/postgresql/data"],
    "StopSignal": "SIGINT",
}
_REDIS_CONFIG = {"Entrypoint": ["/entry.sh"], "Cmd": ["redis-server"], "Env": [PATH], "WorkingDir": "/data"}
_KVROCKS_CONFIG = {"Entrypoint": ["/entry.sh"], "Env": [PATH], "User": "998:998"}
_SERVER_CONFIG = {
    "Entrypoint": ["./backend_entrypoint.sh"],
    "Env": [
        PATH,
        "PYTHONPATH=/home/django:/opt/site",
        "PYTHONDONTWRITEBYTECODE=1",
        "HOME=/home/django",
        "DJANGO_SETTINGS_MODULE=cvat.settings.production",
    ],
    "User": "1000:1000",
    "WorkingDir": "/home/django",
}


def _nginx_config(conf: str) -> dict[str, object]:
    return {"Cmd": ["nginx", "-c", conf], "Env": [PATH], "StopSignal": "SIGQUIT"}


def _python() -> Layer:
    """The Python that runs the tests, where it is on this host."""
    layer = Layer()
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    library = Path(sys.base_prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    layer.file(program)
    layer.libraries([program])
    layer.tree(library, without=NOT_NEEDED)
    layer.link("/usr/bin/python3", str(program))
    # Its folder may be below /root, and users inside must get through.
    for parent in program.parents:
        if str(parent) not in {"/", "/usr", "/usr/bin"}:
            layer.folder(str(parent))
    return layer


def _postgres() -> Layer:
    layer = Layer()
    users(layer, postgres=(70, 70))
    bin_dir = POSTGRES / "bin"
    programs = ("postgres", "initdb", "psql", "pg_isready", "pg_dump", "pg_restore", "pg_ctl", "createdb", "dropdb")
    layer.programs(*(str(bin_dir / program) for program in programs))
    for program in programs[2:]:
        layer.link(f"/usr/bin/{program}", str(bin_dir / program))
    layer.tree(POSTGRES / "lib", without=("bitcode", "pgxs", "pkgconfig", "llvmjit.so"))
    layer.tree(Path("/usr/share/postgresql/15"), without=("man",))
    for zone in ("UTC", "GMT", "Etc/UTC"):  # Debian's server takes time zones from the system
        layer.file(Path("/usr/share/zoneinfo", zone).resolve(), f"/usr/share/zoneinfo/{zone}")
    layer.folder("/run/postgresql", 70, 70, 0o2777)
    layer.link("/var/run", "../run")
    layer.folder("/var/lib/postgresql", 70, 70)
    layer.folder("/var/lib/postgresql/data", 70, 70, 0o700)
    layer.text("/entry.sh", (HERE / "postgres" / "entry.sh").read_text(), 0o755)
    return layer


def _redis(kind: str, data: str) -> Layer:
    layer = Layer()
    users(layer, redis=(999, 1000), kvrocks=(998, 998))
    layer.programs("redis-server", "redis-cli")
    layer.text("/entry.sh", (HERE / kind / "entry.sh").read_text(), 0o755)
    layer.folder(str(Path(data).parent), mode=0o777)
    layer.folder(data, *((999, 1000) if kind == "redis" else (998, 998)))
    return layer


def _nginx() -> Layer:
    layer = Layer()
    users(layer, **{"www-data": (33, 33), "django": (1000, 1000)})
    layer.programs("nginx")
    layer.text("/usr/bin/wget", (HERE / "nginx" / "wget.sh").read_text(), 0o755)
    layer.folder("/var/log/nginx", mode=0o777)
    layer.folder("/var/lib/nginx", mode=0o777)
    layer.folder("/usr/share/nginx")
    layer.text("/etc/nginx/nginx.conf", "daemon off;\nevents {}\nhttp { server { listen 80; } }\n")
    return layer


def _ui(release: releases.Release) -> Layer:
    layer = Layer()
    layer.text("/etc/ui.conf", (HERE / "ui" / "nginx.conf").read_text().replace("@ui_port@", str(release.ui_port)))
    page = (HERE / "ui" / "index.html").read_text().replace("@version@", release.version)
    layer.text("/usr/share/nginx/html/index.html", page)
    return layer


def _server(release: releases.Release) -> Layer:
    source, layer, home = HERE / "server", Layer(), "/home/django"
    layer.programs("bash")
    for name in ("data", "share", "keys", "logs", "static"):
        layer.folder(f"{home}/{name}", 1000, 1000)
    layer.folder("/tmp", mode=0o1777)
    layer.folder("/tmp/supervisord", 1000, 1000)
    layer.folder(home, 1000, 1000)
    for name in ("manage.py", "steps.py", "common.sh", "wait_for_deps.sh", "nginx.conf"):
        layer.text(f"{home}/{name}", (source / name).read_text(), 0o755, 1000, 1000)
    entry = (source / f"entrypoint-{release.grammar}.sh").read_text()
    layer.text(f"{home}/backend_entrypoint.sh", entry, 0o755, 1000, 1000)
    for name in _configs(release):
        kind = "server" if name == "server" else "worker"
        layer.text(f"{home}/supervisord/{name}.conf", (source / f"supervisord-{kind}.conf").read_text())
    for file in sorted((source / "cvat").rglob("*.py")):
        since = file.stem.partition("_since_")[2].replace("_", ".")
        if not since or releases.parse(f"{since}.0") <= releases.parse(release.version):
            layer.text(f"{home}/{file.relative_to(source)}", file.read_text())
    layer.text(f"{home}/cvat/version.py", f'VERSION = "{release.version}"\n')
    return layer


def _configs(release: releases.Release) -> list[str]:
    """Names of supervisord's configurations: one a queue in old releases."""
    if release.grammar == "many":
        return ["server", "worker"]
    return sorted({"server", *(release.names.get(queue, f"worker.{queue}") for queue in release.queues)})


def main() -> None:
    """Build into this checkout's own store, whatever is there."""
    host = PodmanHost()
    (host.dir / "images").unlink(missing_ok=True)
    began = time.monotonic()
    ensure(host)
    print(host.run("images").stdout)
    print(f"{time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
