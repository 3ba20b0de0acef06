# shellcheck shell=bash
# What the scripts share: finding or installing what they need, and timed, counted steps.
# Sourced, not run.

# Where Debian keeps nginx; not on everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin"

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

# A Rust that is new enough, from the PATH or where rustup puts it.
need_rust() {
    local wanted have
    command -v cargo >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || die "no Rust found. Install it with

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y

and run this again (Rust $wanted or newer; a stable toolchain is enough)."
    have=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n1)" != "$wanted" ]; then
        die "Rust $wanted or newer is needed, this is $have. Run  rustup update stable"
    fi
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
