#include "list.h"

unsigned crc(const char *text) {
    unsigned hash = 5381;
    while (*text) hash = hash * 33 ^ (unsigned char)*text++;
    return hash;
}
