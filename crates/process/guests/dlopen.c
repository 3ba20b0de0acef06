// cc: -ldl
// A library loaded while running.
#include "guest.h"
#include <dlfcn.h>

int main(void) {
    void *library = dlopen("libm.so.6", RTLD_NOW);
    if (!library) die("%s", dlerror());
    double (*root)(double) = (double (*)(double))dlsym(library, "sqrt");
    CHECK(root);
    CHECK(root(9.0) == 3.0);
    CHECK(dlsym(library, "no such name") == NULL);
    EQ(dlclose(library), 0);
    CHECK(dlopen("no such library", RTLD_NOW) == NULL);
    ok("loaded, called, closed");
    return 0;
}
