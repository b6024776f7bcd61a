# shellcheck shell=bash disable=SC2154
# Sourced by a script after it has declared its options as commented variables:
#
#   # options
#   nj=2          # number of parallel jobs
#   . ../../utils/parse_options.sh
#
# Then --nj 4 or --nj=4 sets nj, --some-name sets some_name, an option that was not declared is an error, and
# --help prints the header comment of the script, its options, and where relative paths begin. Values stay
# as given; for an option that is declared true or false only those two are taken. What remains is left in
# "$@", and what the options that were given had been declared as in _defaults. Options declared in the files of
# _option_files (options.sh) are taken too.

# A script called by a relative path may have changed its folder before it comes here.
_script=$0
[ -f "$_script" ] || _script=${OLDPWD:-.}/$0

# The lines that declare options, the script's own first; what it declares otherwise than a common file is listed once.
_option_lines() {
  awk '/^# options/ {on = 1} /parse_options\.sh/ {on = 0}
    on && match($0, /^[a-z][a-z0-9_]*=/) && !seen[substr($0, 1, RLENGTH)]++' "$_script" ${_option_files[@]+"${_option_files[@]}"}
}

_print_help() {
  sed -n '2,/^$/p' "$_script" | sed -n 's/^# \{0,1\}//p'
  echo "Options (relative paths begin at $PWD):"
  _option_lines | sed -E 's/^([a-z0-9_]+)=("[^"]*"|[^ #]*) *#? ?(.*)$/\1\x1f\2\x1f\3/' |
    while IFS=$'\x1f' read -r name value comment; do
      value=${value//\"/}  # an empty default says nothing; where it stands for another, the comment does
      printf '  --%-16s %s\n' "${name//_/-}" "$comment${value:+ [$value]}"
    done
}

_wrong() { echo "$(basename "$0"): error: $*" >&2; exit 1; }

declare -A _defaults=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) _print_help; exit 0 ;;
    --) shift; break ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --*)
      _name=${1#--}
      _name=${_name//-/_}
      # not grep -q: it may end before the one that writes to it, which pipefail takes for no option
      _option_lines | grep "^$_name=" > /dev/null || _wrong "unknown option $1; --help lists the options"
      [ $# -ge 2 ] || _wrong "option $1 needs a value"
      case ${!_name}:$2 in
        true:true | true:false | false:true | false:false) ;;
        true:* | false:*) _wrong "option $1 takes true or false, not '$2'" ;;
      esac
      _defaults[$_name]=${_defaults[$_name]-${!_name}}
      printf -v "$_name" '%s' "$2"
      shift 2 ;;
    *) break ;;
  esac
done
unset _name
