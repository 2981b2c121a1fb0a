#!/usr/bin/env bash
# The steps of action.yml, one function each: install, review, comment, verdict.
#
# All that comes in is an environment variable: nothing that somebody else may have named (a title, a branch, a file)
# is ever a part of a command. Only `comment` is given a token, and nothing prints what is executed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly work=${REVIEW_FOLDER:-${RUNNER_TEMP:?is set by GitHub}/rollout-review}
readonly python=$work/venv/bin/python
readonly config=${REVIEW_CONFIG:-config/rollout.yaml}
named=${REVIEW_ENVIRONMENTS:-}
read -ra environments <<<"${named//$'\n'/ }"
on=() # the environment that is compared and rehearsed: the first of them, or the default
[[ -z ${environments[0]:-} ]] || on=(--env "${environments[0]}")
readonly USAGE=64 INVALID=3 RISKY=5 FAILED=1

main() {
    case ${1:-} in
    install | review | comment | verdict) "$1" ;;
    *) refuse "review.sh takes install, review, comment or verdict" ;;
    esac
}

# --- install ---------------------------------------------------------------------------------------------------------

install() {
    python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        refuse "python3 is older than 3.11; put actions/setup-python before this action"
    python3 -I -m venv "$work/venv"
    "$python" -I -m pip install --quiet --disable-pip-version-check --no-input \
        --only-binary :all: --require-hashes -r "$here/requirements.txt"
}

runner() {
    # From the action's own files; -P: no module of the pull request stands in for one of them.
    PYTHONPATH=$here/../..${PYTHONPATH:+:$PYTHONPATH} "$python" -P -m runner "$@"
}

# --- review ----------------------------------------------------------------------------------------------------------

review() {
    check_inputs
    mkdir -p "$work"
    find "$work" -maxdepth 1 -type f -delete # what an earlier review of the same job left
    local code=0 base
    if is_valid; then
        base=$(base_commit)
        compare "$base" || code=$?
        is_rehearsed || code=$FAILED
    else
        code=$INVALID
    fi
    echo "$code" >"$work/exit_code"
    PYTHONPATH=$here/../.. "$python" -P "$here/page.py" "$work" "$config" >"$work/outputs"
    write_sarif
    cat "$work/outputs" >>"${GITHUB_OUTPUT:-/dev/null}"
    cat "$work/comment.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
}

check_inputs() {
    [[ ${GITHUB_EVENT_NAME:-} != pull_request_target ]] ||
        refuse "this action runs what a pull request declares: use the event pull_request, not pull_request_target"
    [[ $config =~ ^[A-Za-z0-9_.][A-Za-z0-9_./\ -]*$ && $config != *--* ]] ||
        refuse "config is a path of letters, digits and . _ - /, from the top of the repository"
    [[ ${REVIEW_FAIL_ON:=blocked} =~ ^(caution|dangerous|blocked|never)$ ]] ||
        refuse "fail-on is caution, dangerous, blocked or never"
    [[ ${REVIEW_REHEARSE:=true} =~ ^(true|false)$ ]] || refuse "rehearse is true or false"
    local name
    for name in "${environments[@]}"; do
        [[ $name =~ ^[a-z][a-z0-9_-]*$ ]] || refuse "environments are names of environments, with spaces between"
    done
}

is_valid() {
    local name
    for name in "${environments[@]:-}"; do
        if ! runner validate "$config" ${name:+--env "$name"} >"$work/validated.txt"; then
            mv "$work/validated.txt" "$work/problems.txt"
            show "$work/problems.txt"
            return 1
        fi
        show "$work/validated.txt"
    done
}

compare() {
    local base=$1 old code=0 how=("${on[@]}") limit=()
    git rev-parse --short=10 "$base" >"$work/base"
    old=$(<"$work/base"):$config
    if ! git cat-file -e "$base:$config" 2>"$work/git.txt"; then
        runner plan "$config" "${on[@]}" >"$work/plan.txt" || true # its database may be out of reach from here
        show "$work/plan.txt"
        return 0
    fi
    [[ -z ${REVIEW_REPLAY:-} ]] || how+=(--replay "$REVIEW_REPLAY")
    [[ $REVIEW_FAIL_ON == never ]] || limit=(--fail-on "$REVIEW_FAIL_ON")
    runner diff "$old" "$config" "${how[@]}" "${limit[@]}" --format json >"$work/review.json" || code=$?
    if [[ $code -ne 0 && $code -ne $RISKY ]]; then
        rm "$work/review.json"
        runner diff "$old" "$config" "${how[@]}" >"$work/incomparable.txt" || true # what is wrong, for people
        show "$work/incomparable.txt"
        # The config is valid, so that of the base is not: what mends it has to be let through.
        [[ $code -ne $INVALID ]] || code=0
        return "$code"
    fi
    runner diff "$old" "$config" "${how[@]}" --format markdown >"$work/review.md" || return
    show "$work/review.md"
    [[ -z ${REVIEW_SARIF:-} ]] || runner diff "$old" "$config" "${how[@]}" --format sarif >"$work/review.sarif" || return
    return "$code"
}

is_rehearsed() {
    [[ $REVIEW_REHEARSE == true ]] || return 0
    if runner rehearse "$config" "${on[@]}" >"$work/rehearsal.txt" 2>"$work/rehearsal.jsonl"; then
        touch "$work/rehearsed"
    fi
    show "$work/rehearsal.txt"
    [[ -e $work/rehearsed ]]
}

write_sarif() {
    [[ -n ${REVIEW_SARIF:-} && -e $work/review.sarif ]] || return 0
    mkdir -p "$(dirname -- "$REVIEW_SARIF")"
    cp -- "$work/review.sarif" "$REVIEW_SARIF"
    printf 'sarif=%s\n' "$REVIEW_SARIF" >>"$work/outputs"
}

# --- what it is compared with ----------------------------------------------------------------------------------------

base_commit() {
    # Print the commit that the change goes to, fetched where the clone is too shallow to hold it.
    local base=${REVIEW_BASE:-} head=${REVIEW_HEAD:-} parents found
    mapfile -t parents < <(git cat-file -p HEAD | sed -n '/^$/q; s/^parent //p')
    if [[ -z $base && ${#parents[@]} -eq 2 && -n $head && ${parents[1]} == "$head" ]]; then
        base=${parents[0]} # GitHub's trial merge: its other side is exactly what the change goes to
        has_commit "$base" || fetch "$base"
        git rev-parse --verify "$base^{commit}"
        return
    fi
    base=${base:-${REVIEW_EVENT_BASE:-}}
    [[ $base =~ [^0] && $base != -* ]] ||
        refuse "there is nothing to compare with: this event has no base; give the action one, such as base: main"
    has_commit "$base" || ! has_commit "refs/remotes/origin/$base" || base=refs/remotes/origin/$base
    has_commit "$base" || fetch "$base"
    found=$(git merge-base "$base" HEAD 2>"$work/git.txt") || found=$(git rev-parse --verify "$base^{commit}")
    echo "$found"
}

has_commit() {
    git rev-parse --verify --quiet --end-of-options "$1^{commit}" >"$work/git.txt" 2>&1
}

fetch() {
    git fetch --quiet --no-tags --depth=1 origin "+$1:refs/rollout-review/base" 2>"$work/git.txt" ||
        refuse "the base is not in this clone, and cannot be fetched: check out with fetch-depth: 0"
    has_commit "$1" || base=refs/rollout-review/base # the caller's: it was a name
}

# --- comment ---------------------------------------------------------------------------------------------------------

comment() {
    if [[ ${REVIEW_COMMENT:-true} != true || -z ${REVIEW_PULL:-} ]]; then
        echo "No comment is asked for, or there is no pull request: the review stands in the summary of the run."
    elif ! "$python" -I "$here/comment.py" "$work/comment.md" >"$work/commented"; then
        echo "::warning title=Rollout review::$(tail -n 1 "$work/commented"); the review stands in the summary of the run"
    else
        cat "$work/commented" >>"${GITHUB_OUTPUT:-/dev/null}"
    fi
}

# --- verdict ---------------------------------------------------------------------------------------------------------

verdict() {
    local code
    code=$(<"$work/exit_code")
    case $code in
    0) echo "Nothing is as risky as fail-on says: ${REVIEW_FAIL_ON:-blocked}" ;;
    "$INVALID") echo "::error title=Rollout review::the config is not valid" ;;
    "$RISKY") echo "::error title=Rollout review::a change is as risky as fail-on says: ${REVIEW_FAIL_ON:-blocked}" ;;
    *) echo "::error title=Rollout review::the rehearsal, or the review itself, failed" ;;
    esac
    return "$code"
}

# --- what is printed -------------------------------------------------------------------------------------------------

show() {
    # Print a file into the log; nothing in it is obeyed as a command of the workflow.
    local token
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '::stop-commands::%s\n' "$token"
    cat "$1"
    printf '\n::%s::\n' "$token"
}

refuse() {
    echo "::error title=Rollout review::$1" >&2
    exit "$USAGE"
}

main "$@"
