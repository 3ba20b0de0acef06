# shellcheck shell=bash
# What the scripts share: finding or installing what they need, and timed, counted steps.
# Sourced, not run.

# Where Debian keeps nginx and PostgreSQL's server; not on everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin"
for bin in /usr/lib/postgresql/*/bin; do PATH+=":$bin"; done

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# need_packages COMMAND:PACKAGE...: installs the packages whose command is missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing: ${missing[*]}"
    command -v apt-get >/dev/null ||
        die "missing ${missing[*]}, and this is not a Debian: install them and run this again"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "missing ${missing[*]}: as root run  apt-get install ${missing[*]}"
        root=(sudo)
    fi
    # The programs are wanted, not the services that Debian starts with them.
    local policy=/usr/sbin/policy-rc.d made=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
        "${root[@]}" chmod 755 "$policy"
        made=1
    fi
    local status=0
    {
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get -q install -y --no-install-recommends "${missing[@]}"
    } >&2 || status=$?
    [ $made -eq 0 ] || "${root[@]}" rm -f "$policy"
    [ $status -eq 0 ] || die "apt-get failed ($status); see above"
}

# rust_version: the version of the Rust on the PATH or where rustup puts it, or nothing.
rust_version() {
    command -v cargo >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    command -v cargo >/dev/null && rustc --version 2>/dev/null | cut -d' ' -f2
}

# at_least WANTED HAVE: whether a version is new enough.
at_least() {
    [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "${2%%-*}" | sort -V | head -n1)" = "$1" ]
}

# A Rust that is new enough: what is there, an update of it, or one installed for this user by rustup
# (from Debian's package where there is one, else by its own installer). Needs curl.
need_rust() {
    local wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    at_least "$wanted" "$(rust_version)" && return 0
    say "installing: Rust $wanted or newer, for this user (found: $(rust_version || echo none))"
    if ! command -v rustup >/dev/null; then
        if apt-cache show rustup >/dev/null 2>&1; then
            need_packages rustup:rustup
        else
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
                sh -s -- -y --profile minimal --no-modify-path >&2 ||
                die "rustup could not be installed; install Rust $wanted or newer and run this again"
        fi
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    { rustup toolchain install stable --profile minimal -c clippy -c rustfmt && rustup default stable; } >&2 ||
        die "rustup could not install a stable Rust; see above"
    at_least "$wanted" "$(rust_version)" ||
        die "Rust $wanted or newer is needed, and $(rust_version) comes first on the PATH; remove it or set PATH"
}

passed=0
failed=0
skipped=0
failures=()

# step NAME COMMAND...: runs one check, prints its time, counts it.
step() {
    local name=$1 start=$SECONDS status=0
    shift
    say "== $name"
    "$@" || status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        say "== $name: passed in $((SECONDS - start)) s"
    else
        failed=$((failed + 1))
        failures+=("$name")
        say "== $name: FAILED with status $status after $((SECONDS - start)) s"
    fi
}

# absent NAME WHY: a check that could not be made, which fails the run as well.
absent() {
    skipped=$((skipped + 1))
    failures+=("$1 (skipped: $2)")
    say "== $1: SKIPPED, $2"
}
