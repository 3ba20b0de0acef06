# shellcheck shell=dash disable=SC2013,SC2034
# What the modes share. The words of the kernel's command line that are only for them:
#   scale=N    how much longer a benchmark runs (default 1)
#   only=NAMES which benchmarks run, separated by commas
#   port=N     the first port of a server (default 7000)
scale=1 only='' port=7000
for word in $(cat /proc/cmdline); do
    case $word in
    scale=*) scale=${word#scale=} ;;
    only=*) only=${word#only=} ;;
    port=*) port=${word#port=} ;;
    esac
done

# mounted DIRECTORY: the disk is there, writable.
mounted() {
    wait_for "${root:=/dev/vda}" 100 || { say "there is no disk $root"; return 1; }
    mount -t ext4 -o rw "$root" "$1"
}
