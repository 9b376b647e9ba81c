# What our own units may not do. Each unit takes one of these and relaxes what it must, with the reason beside it.
rec {
  # For every unit, also for those of root.
  common = {
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    RemoveIPC = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    UMask = "0077";
  };

  # ProtectHome of a unit that needs these paths.
  protectHome =
    paths:
    if builtins.any (path: builtins.match "/(home|root)/.*" path != null) paths then "read-only" else true;

  # For units of ordinary users.
  ordinary = common // {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    PrivateDevices = true;
    PrivateUsers = true;
    ProcSubset = "pid";
    ProtectProc = "invisible";
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
  };
}
