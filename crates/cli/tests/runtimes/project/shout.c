#include "list.h"
#include <ctype.h>

void shout(char *text) {
    for (; *text; text++) *text = toupper((unsigned char)*text);
}
