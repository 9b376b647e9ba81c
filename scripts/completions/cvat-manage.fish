# Completion of cvat-manage for fish: the commands of manage.py, then files.
complete -c cvat-manage -n 'test (count (commandline -opc)) -eq 1' -f -a '(env CVAT_MANAGE_COMPLETE=1 cvat-manage 2>/dev/null </dev/null)'
complete -c cvat-manage -n 'test (count (commandline -opc)) -eq 2; and __fish_seen_subcommand_from help' -f -a '(env CVAT_MANAGE_COMPLETE=1 cvat-manage 2>/dev/null </dev/null)'
