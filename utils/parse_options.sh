# shellcheck shell=bash
# Sourced by a script after it has declared its options as commented variables:
#
#   # options
#   nj=2          # number of parallel jobs
#   . "$MASD_ROOT/utils/parse_options.sh"
#
# Then --nj 4 sets nj, --some-name sets some_name, an option that was not declared is an error, and
# --help prints the header comment of the script, its options, and where relative paths begin. Values stay
# as given; for an option that is declared true or false only those two are taken. What remains is left in
# "$@", and what the options that were given had been declared as in _defaults.

# A script called by a relative path may have changed its folder before it comes here.
_script=$0
[ -f "$_script" ] || _script=${OLDPWD:-.}/$0

_option_lines() { sed -n '/^# options/,/parse_options\.sh/p' "$_script" | grep -E '^[a-z][a-z0-9_]*='; }

_print_help() {
  sed -n '2,/^$/p' "$_script" | sed -n 's/^# \{0,1\}//p'
  echo "Options (relative paths begin at $PWD):"
  _option_lines | sed -E 's/^([a-z0-9_]+)=("[^"]*"|[^ #]*) *#? ?(.*)$/\1\x1f\2\x1f\3/' |
    while IFS=$'\x1f' read -r name value comment; do
      value=${value//\"/}  # an empty default says nothing; where it stands for another, the comment does
      printf '  --%-16s %s\n' "${name//_/-}" "$comment${value:+ [$value]}"
    done
}

declare -A _defaults=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) _print_help; exit 0 ;;
    --) shift; break ;;
    --*)
      _name=${1#--}
      _name=${_name//-/_}
      # not grep -q: it may end before the one that writes to it, which pipefail takes for no option
      if ! _option_lines | grep "^$_name=" > /dev/null; then
        echo "$(basename "$0"): error: unknown option $1; --help lists the options" >&2
        exit 1
      fi
      if [ $# -lt 2 ]; then
        echo "$(basename "$0"): error: option $1 needs a value" >&2
        exit 1
      fi
      case ${!_name} in
        true | false)
          case $2 in
            true | false) ;;
            *) echo "$(basename "$0"): error: option $1 takes true or false, not '$2'" >&2; exit 1 ;;
          esac ;;
      esac
      _defaults[$_name]=${_defaults[$_name]-${!_name}}
      printf -v "$_name" '%s' "$2"
      shift 2 ;;
    *) break ;;
  esac
done
unset _name
