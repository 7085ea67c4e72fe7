#!/bin/sh
# The environment .venv with the packages of one group (run, dev or fuzz): made where it is missing, made anew where it
# cannot be used, and else brought up to date or left as it is. `python NAME…` prints the interpreter for another one
# instead, the first of the names that is new enough.
#
# PYTHON names the interpreter; without it, the first of $known that is new enough is taken.
# What goes wrong is two lines on standard error: what, and the next step. Details are in .venv-install.log.
set -u
known="python3.13 python3.12 python3.11 python3"
# The CPU builds of torch. Only torch is ever asked of this index. One retry, because it may be out of reach.
torch_index="https://download.pytorch.org/whl/cpu"
here=$(cd "$(dirname "$0")/.." && pwd -P) || exit 1
cd "$here" || exit 1
venv=.venv
log=.venv-install.log
# Everything is quiet, so the log holds what went wrong and nothing else.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2-}" ] || printf 'next:  %s\n' "$2" >&2
    exit 1
}

# Half an environment is worse than none. One that was whole before stays, marked: the next run makes it anew.
interrupted() {
    trap '' INT TERM
    [ -e "$venv/installed-run" ] || rm -rf "$venv"
    printf 'error: interrupted.\nnext:  run it again; what was downloaded is not lost\n' >&2
    exit 130
}

interrupted_waiting() {
    trap '' INT TERM
    printf 'error: interrupted.\nnext:  run it again; the other installation goes on\n' >&8
    exit 130
}

# Two installations in one folder destroy each other. The lock is the kernel's, on this very file, until this process
# and those that it started have ended. Where there is no flock, nothing is waited for.
alone() {
    command -v flock >/dev/null || return 0
    exec 9<tools/environment.sh
    flock -n 9
    # Another status: no locks in this file system.
    [ $? -eq 1 ] || return 0
    # The shell would report a command that a signal ends.
    exec 8>&2 2>/dev/null
    trap interrupted_waiting INT TERM
    echo "Another installation in this folder is running; waiting for it…"
    # In steps, since a trap runs only between commands.
    while flock -n 9; [ $? -eq 1 ]; do
        sleep 1
    done
    exec 2>&8 8>&-
}

new_enough() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >>"$log" 2>&1
}

version() {
    "$1" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>>"$log"
}

# Sets `python`.
find_python() {
    if [ -n "${PYTHON-}" ]; then
        python=$PYTHON
        found=$(version "$python") || fail "$python is no Python that runs here" "name another, as in make run PYTHON=python3.12"
        new_enough "$python" ||
            fail "$python is Python $found, and Blindsight needs 3.11 or newer" "name another, as in make run PYTHON=python3.12"
    else
        python=
        seen=
        for each in $known; do
            found=$(version "$each") || continue
            if new_enough "$each"; then
                python=$each
                break
            fi
            seen="$each is $found"
        done
        [ -n "$python" ] ||
            fail "Blindsight needs Python 3.11 or newer, and there is none on the PATH${seen:+ ($seen)}" \
                "install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name it: make run PYTHON=/path/to/python3.12"
    fi
    "$python" -I -c 'import venv, ensurepip' >>"$log" 2>&1 ||
        fail "$python cannot make environments: its module ensurepip is missing" \
            "install it (Debian, Ubuntu: apt install python$found-venv), or name another Python with PYTHON="
}

# Prints why the environment cannot be used; nothing if it can.
unusable() {
    # Of the Python there: its version, whether that is new enough, whether it has pip.
    told=$("$venv/bin/python" -I -c 'import sys, importlib.util
print("%d.%d" % sys.version_info[:2], sys.version_info >= (3, 11), importlib.util.find_spec("pip") is not None)' 2>>"$log")
    if [ -e "$venv/incomplete" ]; then
        echo "its installation was cut short"
        return
    fi
    case $told in
        "") echo "its Python is gone" ;;
        *" False "*) echo "its Python is ${told%% *}, and 3.11 is needed" ;;
        *" False") echo "it has no pip" ;;
    esac
    if [ "${told% True True}" = "$told" ]; then
        return
    elif [ -n "${PYTHON-}" ] && [ "${told%% *}" != "$(version "$PYTHON")" ]; then
        echo "its Python is ${told%% *}, not that of $PYTHON"
    elif [ -e "$venv/bin/blindsight" ] && ! grep -qF "$here/$venv/bin/" "$venv/bin/blindsight"; then
        echo "it was made for another folder"
    fi
}

install() {
    "$venv/bin/python" -m pip install --quiet "$@" >>"$log" 2>&1
}

# Whether the stamp $1 is there, and newer than all other arguments.
current() {
    stamp=$1
    shift
    [ -e "$stamp" ] || return 1
    for each in "$@"; do
        [ "$stamp" -nt "$each" ] || return 1
    done
}

# Makes the file $1 empty. In a subshell: `:` is a special builtin, and where its redirection fails, dash ends.
writable() {
    (: >"$1") 2>/dev/null
}

packages() {
    writable "$venv/incomplete" || fail "$here/$venv cannot be written to" "look at your rights there, and at the free space"
    if "$@"; then
        rm -f "$venv/incomplete"
        return
    fi
    # What pip refuses, it refuses before it changes something; an environment that was made just now goes.
    rm -f "$venv/incomplete"
    [ -e "$venv/installed-run" ] || rm -rf "$venv"
    reason=$(grep -F ERROR: "$log" | tail -1)
    fail "the packages could not be installed: ${reason#ERROR: }" "look into $log, and run it again"
}

group_run() {
    install --require-hashes --no-deps --requirement requirements/run.txt && project && touch "$venv/installed-run"
}

group_dev() {
    install --retries 1 --index-url "$torch_index" --require-hashes --no-deps --requirement requirements/torch.txt &&
        install --require-hashes --no-deps --requirement requirements/dev.txt &&
        project && touch "$venv/installed-run" "$venv/installed-dev"
}

group_fuzz() {
    install --require-hashes --no-deps --requirement requirements/fuzz.txt && touch "$venv/installed-fuzz"
}

project() {
    install --no-build-isolation --no-deps --editable .
}

if [ "$1" = python ]; then
    shift
    known="$*"
    # Of no installation: one may run at the same time, and has the other.
    log=/dev/null
    find_python
    echo "$python"
    exit
fi
alone
writable "$log" || fail "$here cannot be written to" "look at your rights there, and at the free space"
trap interrupted INT TERM
if [ -e "$venv" ] || [ -L "$venv" ]; then
    why=$(unusable)
    if [ -n "$why" ]; then
        find_python
        echo "The environment $venv is made anew: $why."
        rm -rf "$venv" || fail "$here/$venv cannot be removed" "remove it, and run this again"
    fi
fi
if [ ! -e "$venv/bin/python" ]; then
    find_python
    if ! "$python" -m venv "$venv" >>"$log" 2>&1; then
        rm -rf "$venv"
        fail "$python could not make the environment $venv: $(tail -1 "$log")" "look into $log, and run it again"
    fi
fi
case $1 in
    run)
        if ! current "$venv/installed-run" pyproject.toml requirements/run.txt; then
            echo "Installing the packages of gateway and enclave, once…"
            packages group_run
        fi
        ;;
    dev | fuzz)
        if ! current "$venv/installed-dev" pyproject.toml requirements/dev.txt requirements/torch.txt; then
            echo "Installing the packages for development, torch among them, once…"
            packages group_dev
        fi
        if [ "$1" = fuzz ] && ! current "$venv/installed-fuzz" "$venv/installed-dev" requirements/fuzz.txt; then
            packages group_fuzz
        fi
        ;;
    *) fail "there is no group $1" "give run, dev, fuzz or python" ;;
esac
rm -f "$log"
