// Files of /proc and /sys that programs read when they start.
#include "guest.h"

static char text[1 << 16];

int main(void) {
    const char *files[] = {"/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/loadavg", "/proc/uptime",
                           "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease"};
    for (int i = 0; i < 7; i++) {
        CHECK(slurp(files[i], text, sizeof text) > 0);
        char *end = strchr(text, '\n');
        if (end) *end = 0;
        show("%s: %.60s", files[i], text);
    }
    ok("system-wide files");
    return 0;
}
