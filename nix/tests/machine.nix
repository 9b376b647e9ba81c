# A whole machine, for hosts with KVM: CVAT's units under its own systemd, cgroup v2 and Podman, with images in place of
# CVAT's own, which no test may pull.
{ pkgs }:
let
  # Runs, whatever it is asked to do. What CVAT itself does is for tests/e2e/cvat.
  standIn =
    name: tag:
    pkgs.dockerTools.buildLayeredImage {
      inherit name tag;
      config.Entrypoint = [
        (pkgs.writeShellScript "stand-in" "trap 'exit 0' TERM INT; ${pkgs.coreutils}/bin/sleep infinity & wait")
      ];
    };
in
pkgs.testers.runNixOSTest {
  name = "cvat";

  nodes.machine =
    { config, ... }:
    let
      standIns = map (
        image:
        let
          parts = builtins.match "(.*):([^:]*)" image;
        in
        standIn (builtins.elemAt parts 0) (builtins.elemAt parts 1)
      ) (pkgs.lib.unique (map (container: container.image) config.services.cvat.rendered.containers));
    in
    {
      imports = [ ../modules ];
      virtualisation.memorySize = 4096;
      virtualisation.diskSize = 8192;
      services.cvat = {
        enable = true;
        # The images are no CVAT: there is nothing to migrate, and nothing is ever ready.
        autoInit = false;
        waitUntilReady = false;
      };
      systemd.services.load-images = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.Type = "oneshot";
        serviceConfig.RemainAfterExit = true;
        path = [ config.virtualisation.podman.package ];
        script = pkgs.lib.concatMapStringsSep "\n" (file: "podman load --input ${file}") standIns;
      };
    };

  testScript = ''
    machine.wait_for_unit("load-images.service")
    units = machine.succeed("systemctl show --property=Wants --value cvat.target").split()

    with subtest("one command starts all containers, in the slice"):
        machine.succeed("systemctl start cvat.service")
        for unit in units:
            machine.succeed(f"systemctl is-active {unit}")
        for pid in machine.succeed("podman ps --quiet | xargs podman inspect --format {{.State.Pid}}").split():
            assert "/cvat.slice/" in machine.succeed(f"cat /proc/{pid}/cgroup")
        assert machine.succeed("cat /sys/fs/cgroup/cvat.slice/memory.max").strip() == str(2048 * 1024 * 1024)

    with subtest("one command stops all of them"):
        machine.succeed("systemctl stop cvat.service")
        assert machine.succeed("podman ps --all --quiet") == ""

    with subtest("it comes back after a crash"):
        machine.succeed("systemctl start cvat.service")
        machine.succeed("sync")
        machine.crash()
        machine.wait_for_unit("load-images.service")
        machine.succeed("systemctl start cvat.service")
        for unit in units:
            machine.succeed(f"systemctl is-active {unit}")
  '';
}
