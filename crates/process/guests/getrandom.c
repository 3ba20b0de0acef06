// getrandom and what comes from it: random bytes are an input.
#include "guest.h"
#include <sys/auxv.h>
#include <sys/random.h>

static void hex(const char *name, const void *bytes, int n) {
    char text[128];
    for (int i = 0; i < n; i++) sprintf(text + 2 * i, "%02x", ((const unsigned char *)bytes)[i]);
    show("%s %s", name, text);
}

int main(void) {
    unsigned char a[32], b[32], large[5000];
    EQ(getrandom(a, 32, 0), 32);
    EQ(getrandom(b, 32, GRND_NONBLOCK), 32);
    CHECK(memcmp(a, b, 32) != 0);
    SYS(getentropy(a, 32));
    EQ(getrandom(large, sizeof large, 0), sizeof large);
    int counts[256] = {0};
    for (size_t i = 0; i < sizeof large; i++) counts[large[i]]++;
    for (int i = 0; i < 256; i++) CHECK(counts[i] < 100);
    FAILS(EINVAL, getrandom(a, 1, 0x100));
    FAILS(EFAULT, getrandom(nowhere, 8, 0));
    ok("getrandom");
    const void *start = (const void *)getauxval(AT_RANDOM);
    CHECK(start);
    hex("a", a, 32);
    hex("b", b, 32);
    hex("AT_RANDOM", start, 16);
    ok("AT_RANDOM");
    return 0;
}
