# Completion of cvat-manage for bash: the commands of manage.py, then files.
_cvat_manage() {
    local word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ] || { [ "$COMP_CWORD" -eq 2 ] && [ "${COMP_WORDS[1]}" = help ]; }; then
        # shellcheck disable=SC2207  # the names have no spaces and no stars
        COMPREPLY=($(compgen -W "$(CVAT_MANAGE_COMPLETE=1 cvat-manage 2>/dev/null </dev/null)" -- "$word"))
    fi
}
complete -o default -F _cvat_manage cvat-manage
