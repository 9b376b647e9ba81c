# A whole machine, for hosts with KVM: NixOS boots it, and CVAT and the training service run under its own systemd,
# cgroup v2 and Podman, until it crashes, and again.
#
# A test in Nix's sandbox reaches no registry: without `online`, images stand in for CVAT's own that do nothing, so that
# there is nothing to initialise and nobody to sign in. With `online` CVAT's own are pulled and the whole of a user's
# way is gone; online.nix says how.
{
  pkgs,
  online ? false,
}:
let
  inherit (pkgs) lib;

  # Runs, whatever it is asked to do.
  standIn =
    name: tag:
    pkgs.dockerTools.buildLayeredImage {
      inherit name tag;
      config.Entrypoint = [
        (pkgs.writeShellScript "stand-in" "trap 'exit 0' TERM INT; ${pkgs.coreutils}/bin/sleep infinity & wait")
      ];
    };

  packages = import ../packages pkgs;
  python = pkgs.python3.withPackages (python: [ (python.toPythonModule packages.cvatd) ]);
  # A data set that is learned in seconds, and who serves it.
  dataset = pkgs.writeText "dataset.py" ''
    from pathlib import Path
    from cvatd.training.shapes import draw_shapes
    Path("/srv/files").mkdir(parents=True)
    draw_shapes(Path("/srv/files/shapes.zip"), train=16, val=4, size=96, seed=1)
  '';
  filesPort = 8000;

  standIns =
    containers:
    map (
      image:
      let
        parts = builtins.match "(.*):([^:]*)" image;
      in
      standIn (builtins.elemAt parts 0) (builtins.elemAt parts 1)
    ) (lib.unique (map (container: container.image) containers));
in
pkgs.testers.runNixOSTest {
  name = if online then "cvat-online" else "cvat";

  nodes.machine =
    { config, ... }:
    {
      imports = [ ../modules ];
      system.stateVersion = "26.05";
      virtualisation.cores = 4;
      virtualisation.memorySize = 8192;
      virtualisation.diskSize = if online then 65536 else 16384;
      services.cvat = {
        enable = true;
        # What stands in for CVAT migrates nothing and is never ready.
        autoInit = online;
        waitUntilReady = online;
        # Real images take more than the default to migrate in.
        resources = {
          cpuQuota = "400%";
          memoryHigh = "3800M";
          memoryMax = "4G";
        };
      };
      services.cvatd = {
        enable = true;
        package = packages.cvatd;
        settings.urls.allow = [ "127.0.0.0/8" ]; # the data set is this machine's own
      };
      systemd.services = {
        files = {
          wantedBy = [ "multi-user.target" ];
          preStart = "test -e /srv/files/shapes.zip || ${python}/bin/python3 ${dataset}";
          script = "exec ${python}/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/files ${toString filesPort}";
        };
        load-images = {
          enable = !online;
          wantedBy = [ "multi-user.target" ];
          serviceConfig.Type = "oneshot";
          serviceConfig.RemainAfterExit = true;
          path = [ config.virtualisation.podman.package ];
          script = lib.concatMapStringsSep "\n" (file: "podman load --input ${file}") (
            lib.optionals (!online) (standIns config.services.cvat.rendered.containers)
          );
        };
      };
    };

  testScript =
    { nodes, ... }:
    let
      inherit (nodes.machine.services) cvat cvatd;
    in
    ''
      import json
      import time

      online = ${if online then "True" else "False"}
      cvat = "http://127.0.0.1:${toString cvat.port}"
      service = "http://127.0.0.1:${toString cvatd.port}"
      token = ""


      def start() -> None:
          if not online:
              machine.wait_for_unit("load-images.service")
          machine.succeed("systemctl start cvat.service", timeout=7200)  # online: it pulls


      def check_containers() -> None:
          for unit in machine.succeed("systemctl show --property=Wants --value cvat.target").split():
              machine.succeed(f"systemctl is-active {unit}")
          for pid in machine.succeed("podman ps --quiet | xargs podman inspect --format {{.State.Pid}}").split():
              assert "/cvat.slice/" in machine.succeed(f"cat /proc/{pid}/cgroup")


      def sign_in() -> None:
          """Through the proxy, with the password that was made at random."""
          secret = machine.succeed("cat ${cvat.dataDir}/secrets/superuser-password").strip()
          body = json.dumps({"username": "admin", "password": secret})
          answer = machine.succeed(f"curl --silent --fail-with-body --json '{body}' {cvat}/api/auth/login")
          key = json.loads(answer)["key"]
          user = machine.succeed(f"curl --silent --fail --header 'Authorization: Token {key}' {cvat}/api/users/self")
          assert json.loads(user)["username"] == "admin"


      def ask(path: str, options: str = "") -> dict:
          bearer = f"--header 'Authorization: Bearer {token}'"
          return json.loads(machine.succeed(f"curl --silent --fail-with-body {bearer} {options} '{service}{path}'"))


      def submit(job: str, epochs: int) -> None:
          config = {"epochs": epochs, "batch_size": 4, "img_size": 96, "learning_rate": 0.003}
          url = "http://127.0.0.1:${toString filesPort}/shapes.zip"
          body = {"job_id": job, "dataset_url": url, "base_model": "yolov8n.yaml", "config": config}
          ask("/train", f"--json '{json.dumps(body)}'")


      def wait_for_training(job: str, wanted: str) -> dict:
          for _ in range(300):
              run = ask(f"/runs?job_id={job}")["runs"][0]
              if run["state"] == wanted:
                  return run
              assert run["state"] not in ("failed", "cancelled", "completed"), run
              time.sleep(2)
          raise Exception(f"{job} is not {wanted} after ten minutes: {run}")


      def check_weights(run: dict) -> None:
          names = [file["name"] for file in ask(f"/runs/{run['id']}/artifacts")["artifacts"]]
          assert "best.pt" in names, names


      with subtest("one command starts all containers, in the slice"):
          start()
          check_containers()
          assert machine.succeed("cat /sys/fs/cgroup/cvat.slice/memory.max").strip() == str(4 << 30)

      if online:
          with subtest("CVAT is initialised, once"):
              machine.succeed("systemctl start cvat-init.service")
              assert "Nothing to do" in machine.succeed("journalctl --unit cvat-init.service --output cat")

          with subtest("the superuser signs in through the proxy"):
              sign_in()

      with subtest("POST /train trains a tiny model"):
          machine.wait_for_unit("files.service")
          machine.wait_until_succeeds(f"curl --silent --fail {service}/health", timeout=300)
          token = machine.succeed("cvatd token create test").strip()
          submit("first", 2)
          check_weights(wait_for_training("first", "completed"))

      with subtest("one command stops all containers"):
          machine.succeed("systemctl stop cvat.service")
          assert machine.succeed("podman ps --all --quiet") == ""

      with subtest("it comes back after a crash, with what it knew and what it was doing"):
          start()
          submit("second", 60)
          wait_for_training("second", "training")
          machine.succeed("sync")
          machine.crash()
          start()
          check_containers()
          if online:
              sign_in()
          machine.wait_until_succeeds(f"curl --silent --fail {service}/health", timeout=300)
          check_weights(wait_for_training("first", "completed"))
          check_weights(wait_for_training("second", "completed"))
    '';
}
