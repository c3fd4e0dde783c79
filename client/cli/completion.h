// Shell completion for bash, printed by `quern completion bash`. It asks the running server for kinds,
// parameters and pools, so it is always right for that server.
#pragma once

namespace quern::cli {

inline constexpr const char* kBashCompletion = R"bash(# bash completion for quern; install with:
#   quern completion bash > /etc/bash_completion.d/quern
_quern() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
  local command="" subject="" words="" i
  local job_options="--priority --attempts --retry-on --queue-timeout-ms --run-timeout-ms --deadline-ms --no-wait --progress --no-progress"
  local batch_options="$job_options --to --from --also --null --recursive --suffix --skip-existing --jobs --retry-for --fail-fast --json --verbose"
  local -a server=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${COMP_WORDS[i]}" in
      --runtime-dir | --socket) server+=("${COMP_WORDS[i]}" "${COMP_WORDS[i+1]}"); ((i++)) ;;
      --priority | --attempts | --retry-on | --*-ms | -o | --output) ((i++)) ;;
      --to | --from | --also | --suffix | --jobs | --retry-for | --shared) ((i++)) ;;
      -*) ;;
      *) if [ -z "$command" ]; then command="${COMP_WORDS[i]}"; elif [ -z "$subject" ]; then subject="${COMP_WORDS[i]}"; fi ;;
    esac
  done
  if [ "$command" = batch ] && { [[ "$subject" == *[/*?[]* ]] || [ -e "$subject" ]; }; then subject=image.resize; fi
  case "$command" in
    "") words="run batch kinds status top jobs buffers cancel health quarantine resize drain pause resume restart ping completion --runtime-dir --socket --help --version" ;;
    run | batch)
      if [ "$command" = run ]; then job_options+=" --output -o --stream --shared"; else job_options="$batch_options"; fi
      if [ -z "$subject" ]; then
        words="$(quern "${server[@]}" kinds --names 2>/dev/null) $job_options --help"
      elif [[ "$current" == -* ]]; then
        words="$(quern "${server[@]}" kinds "$subject" 2>/dev/null | awk '/^  --/ {print $1}') $job_options --help"
      elif [[ "$previous" == --* ]]; then
        words="$(quern "${server[@]}" kinds "$subject" 2>/dev/null |
          awk -v name="$previous" '$1 == name {if ($2 == "boolean") print "true false"; else if ($2 ~ /[|]/) {gsub(/[|]/, " ", $2); print $2}}')"
      fi ;;
    kinds) words="--json --names"; [ -z "$subject" ] && words+=" $(quern "${server[@]}" kinds --names 2>/dev/null)" ;;
    resize | drain | pause | resume | restart)
      words="--json"; [ -z "$subject" ] && words+=" $(quern "${server[@]}" status --pools 2>/dev/null)" ;;
    status) words="--json --pools" ;;
    top) words="--interval-ms --once" ;;
    jobs | buffers | cancel) words="--json" ;;
    health) words="--json"; [ -z "$subject" ] && words+=" $(quern "${server[@]}" status --pools 2>/dev/null)" ;;
    quarantine)
      if [ -z "$subject" ]; then words="ls show release replay"
      elif [ "$subject" = ls ]; then words="--json"
      else words="--json $(quern "${server[@]}" quarantine ls 2>/dev/null | awk '$1 ~ /^[0-9a-f]{16}$/ {print $1}')"
      fi ;;
    ping) words="--wait-ms" ;;
    completion) words="bash" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _quern quern
)bash";

}  // namespace quern::cli
