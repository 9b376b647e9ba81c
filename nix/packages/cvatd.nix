# cvatd without torch: daemon, web, worker and terminal. The trainer's Python is trainer.nix.
{
  lib,
  python3Packages,
}:
let
  # What the package needs of the source, so that a change of a test or a page builds nothing anew.
  source = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ../../cvatd
      ../../scripts/completions
      ../../scripts/cvat-manage
      ../../pyproject.toml
      ../../README.md
      ../../LICENSE
    ];
  };
in
python3Packages.buildPythonApplication {
  pname = "cvatd";
  version = "0.1.0";
  pyproject = true;
  src = source;

  build-system = [ python3Packages.hatchling ];

  dependencies =
    (with python3Packages; [
      fastapi
      httpx
      jinja2
      pillow
      podman
      psycopg
      pydantic
      python-multipart
      pyyaml
      redis
      requests
      rich
      rq
      standardwebhooks
      structlog
      typer
      uvicorn
    ])
    ++ python3Packages.psycopg.optional-dependencies.c
    ++ python3Packages.psycopg.optional-dependencies.pool;

  # psycopg's wheel of compiled code is called otherwise than nixpkgs' build of the same.
  pythonRemoveDeps = [ "psycopg" ];
  pythonImportsCheck = [
    "cvatd.cli.main"
    "cvatd.web.app"
  ];
  # The tests start servers, containers and browsers: `make test` runs them.
  doCheck = false;

  meta = {
    description = "From image to model on one host: annotate in CVAT, review, train YOLO, run the model on video";
    license = lib.licenses.agpl3Plus;
    mainProgram = "cvatd";
    platforms = lib.platforms.linux;
  };
}
