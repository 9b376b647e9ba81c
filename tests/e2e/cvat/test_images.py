"""The tests' own images behave as CVAT's do, so that what is built on them means something."""

import io
import json
import tarfile

import pytest
import requests

from cvatd.stack import secret_files
from tests.e2e.cvat.stand import Stand

pytestmark = pytest.mark.e2e
TIMEOUT_S = 20


def password(stand: Stand) -> str:
    return secret_files.read(stand.settings, secret_files.SUPERUSER)


def test_every_part_of_cvats_health_works(standing: Stand) -> None:
    answer = requests.get(f"{standing.url}/api/server/health/?format=json", timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert set(answer.json().values()) == {"working"}
    assert "OPAHealthCheck" in answer.json()


def test_the_superuser_logs_in_through_the_proxy(standing: Stand) -> None:
    secret = password(standing)
    with requests.Session() as session:
        wrong = session.post(
            f"{standing.url}/api/auth/login", json={"username": "admin", "password": "no"}, timeout=TIMEOUT_S
        )
        assert wrong.status_code == 400
        right = session.post(
            f"{standing.url}/api/auth/login", json={"username": "admin", "password": secret}, timeout=TIMEOUT_S
        )
        assert right.status_code == 200
        key = right.json()["key"]
        by_session = session.get(f"{standing.url}/api/users/self", timeout=TIMEOUT_S).json()
    by_token = requests.get(
        f"{standing.url}/api/users/self", headers={"Authorization": f"Token {key}"}, timeout=TIMEOUT_S
    ).json()
    by_password = requests.get(f"{standing.url}/api/users/self", auth=("admin", secret), timeout=TIMEOUT_S).json()
    assert by_session == by_token == by_password
    assert by_password["groups"] == ["admin"]
    assert requests.get(f"{standing.url}/api/users/self", timeout=TIMEOUT_S).status_code == 401


def test_opas_rules_come_from_the_server(standing: Stand) -> None:
    answer = requests.get(f"{standing.url}/api/auth/rules", timeout=TIMEOUT_S)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as bundle:
        assert "server.rego" in bundle.getnames()
    again = {"If-None-Match": answer.headers["ETag"]}
    assert requests.get(f"{standing.url}/api/auth/rules", headers=again, timeout=TIMEOUT_S).status_code == 304
    about = requests.get(f"{standing.url}/api/server/about", timeout=TIMEOUT_S)
    assert about.json()["version"] == standing.runner().stack().version


def test_each_container_has_the_workers_that_were_declared(standing: Stand) -> None:
    for container in standing.runner().stack().containers:
        if container.queues:
            probe = standing.podman.execute(container.name, ["python3", "manage.py", "workerprobe", *container.queues])
            assert probe.status == 0, probe.err
    wrong = standing.podman.execute("cvat-worker-chunks", ["python3", "manage.py", "workerprobe", "import"])
    assert "does not match (0 != 1)" in wrong.err


def test_work_put_into_a_queue_is_done(standing: Stand) -> None:
    program = (
        "import django_rq, time\n"
        "from cvat.engine.tasks import sleep\n"
        "job = django_rq.get_queue('export').enqueue(sleep, 0)\n"
        "end = time.monotonic() + 15\n"
        "while not job.is_finished and time.monotonic() < end: time.sleep(0.05); job.refresh()\n"
        "print(job.get_status().value)"
    )
    done = standing.podman.execute("cvat-server", ["python3", "manage.py", "shell", "-c", program])
    assert done.out.strip().splitlines()[-1] == "finished", done.err


def test_an_upload_in_pieces_reaches_the_disk_and_comes_back(standing: Stand) -> None:
    auth = ("admin", password(standing))
    made = requests.post(
        f"{standing.url}/api/tasks/1/data/", headers={"Upload-Length": "11"}, auth=auth, timeout=TIMEOUT_S
    )
    address = made.headers["Location"]
    assert address.startswith(standing.url)
    for offset, piece in ((0, b"hello "), (6, b"world")):
        sent = requests.patch(address, data=piece, headers={"Upload-Offset": str(offset)}, auth=auth, timeout=TIMEOUT_S)
        assert sent.status_code == 204
    assert (
        requests.patch(address, data=b"!", headers={"Upload-Offset": "3"}, auth=auth, timeout=TIMEOUT_S).status_code
        == 409
    )
    assert requests.get(address, auth=auth, timeout=TIMEOUT_S).content == b"hello world"
    name = address.rpartition("/")[2]
    assert (standing.data_dir / "data" / "tmp" / name).stat().st_uid == 1000


def test_the_pages_and_static_files_are_served(standing: Stand) -> None:
    assert "Computer Vision" in requests.get(f"{standing.url}/tasks/1/jobs/2", timeout=TIMEOUT_S).text
    login = requests.get(f"{standing.url}/admin/login/", timeout=TIMEOUT_S)
    assert "csrfmiddlewaretoken" in login.text
    assert requests.get(f"{standing.url}/static/admin/css/base.css", timeout=TIMEOUT_S).status_code == 200


def test_the_grammar_of_the_entry_points(standing: Stand) -> None:
    image = standing.runner().stack().container("cvat-server").image
    old = image.rpartition(":")[0] + ":v2.21.0"

    def ended(of: str, *arguments: str) -> tuple[int, str]:
        done = standing.host.run("run", "--rm", "--network=none", of, *arguments, check=False)
        return done.returncode, done.stderr

    assert ended(image, "run", "worker", "nonsense") == (1, "./backend_entrypoint.sh: Unexpected worker: nonsense\n")
    assert "unknown component: worker.import" in ended(image, "run", "worker.import")[1]
    assert "could not find config file supervisord/worker.chunks.conf" in ended(old, "run", "worker.chunks")[1]
    assert ended(image, "bash", "-c", "exit 7")[0] == 7


def test_the_stack_knows_that_it_is_ready(standing: Stand) -> None:
    before = standing.ids()
    told = standing.up()
    assert told[-1] == ("CVAT", "ready", "")
    assert standing.ids() == before, json.dumps(told)
