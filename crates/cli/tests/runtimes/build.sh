# Builds the project twice, four jobs at a time, and runs what comes out.
set -e
for flags in -O0 "-O2 -g"; do
    make clean >/dev/null
    make -j4 CFLAGS="$flags -Wall -Wextra" 2>&1 | sort
    ./program one two
    make -q CFLAGS="$flags" && echo up to date
done
