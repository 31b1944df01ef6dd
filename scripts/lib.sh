# Shared by the scripts of this folder: the virtual environment, and Debian's packages.
# Sourced with bash from the repository's root; defines functions and does nothing by itself.

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# The first interpreter on PATH that is new enough.
find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "needs Python 3.11 or newer: set PYTHON=/path/to/python3"
}

# .venv with everything of requirements.lock (hashes checked) and the project itself, once per lock file.
make_venv() {
    local python stamp=.venv/.installed wanted
    wanted=$(cat requirements.lock pyproject.toml | sha256sum | cut -d ' ' -f 1)
    if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python=$(find_python) || exit 1
    say "Making .venv with $("$python" --version) from requirements.lock ..."
    if ! "$python" -m venv .venv >.venv.log 2>&1; then
        debian_packages "python3-venv" && "$python" -m venv .venv >.venv.log 2>&1 ||
            fail "cannot make .venv: $(tail -n 1 .venv.log) (on Debian: apt-get install python3-venv)"
    fi
    rm -f .venv.log
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
        --require-hashes --no-deps -r requirements.lock || fail "pip could not install requirements.lock"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation --editable . || fail "pip could not install the project"
    printf '%s\n' "$wanted" >"$stamp"
}

_installed() { dpkg-query --show --showformat='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }

_apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 </dev/null
}

# Debian packages that are missing; says why when it cannot. Their services are neither started nor enabled:
# a test suite must not open ports behind the user's back.
debian_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d held=
    command -v apt-get >/dev/null || { say "No apt-get here: not installing $*."; return 1; }
    for package in "$@"; do _installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || { say "Not root: not installing ${missing[*]}."; return 1; }
    say "Installing from Debian: ${missing[*]} ..."
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && held=1
    fi
    { apt-get update -qq || true; } >/dev/null 2>&1
    local done=0
    # one by one only where that fails: a package that this release does not have must not keep the others away
    _apt_install "${missing[@]}" || for package in "${missing[@]}"; do
        _apt_install "$package" || { say "  apt-get could not install $package"; done=1; }
    done
    if [ -d /run/systemd/system ]; then
        for package in "${missing[@]}"; do systemctl disable --quiet "$package.service" 2>/dev/null || true; done
    fi
    [ -z "$held" ] || rm -f "$policy"
    return $done
}
