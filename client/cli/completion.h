// Shell completion for bash, printed by `quern completion bash`. It asks the running server for kinds,
// parameters and pools, so it is always right for that server.
#pragma once

namespace quern::cli {

inline constexpr const char* kBashCompletion = R"bash(# bash completion for quern; install with:
#   quern completion bash > /etc/bash_completion.d/quern
_quern() {
  local current="${COMP_WORDS[COMP_CWORD]}" command="${COMP_WORDS[1]:-}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="run kinds status resize drain pause resume restart ping completion --help --version"
  else
    case "$command" in
      run)
        if [ "$COMP_CWORD" -eq 2 ]; then
          words="$(quern kinds --names 2>/dev/null)"
        elif [[ "$current" == -* ]]; then
          words="$(quern kinds "${COMP_WORDS[2]}" 2>/dev/null | awk '/^  --/ {print $1}')
            --priority --attempts --queue-timeout-ms --run-timeout-ms --deadline-ms --no-wait --progress -o"
        fi ;;
      kinds) words="$(quern kinds --names 2>/dev/null) --json --names" ;;
      resize|drain|pause|resume|restart)
        [ "$COMP_CWORD" -eq 2 ] && words="$(quern status --pools 2>/dev/null)" ;;
      status) words="--json --pools" ;;
      ping) words="--wait-ms" ;;
      completion) words="bash" ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _quern quern
)bash";

}  // namespace quern::cli
