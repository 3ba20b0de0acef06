#include "list.h"
#include <stdio.h>

int main(int argc, char **argv) {
    struct node *head = 0;
    for (int i = 0; i < 100; i++) head = push(head, i * i);
    char text[] = "compiled in parallel";
    unsigned before = crc(text);
    shout(text);
    printf("%d %08x %s", sum(head), before, text);
    for (int i = 1; i < argc; i++) printf(" %s", argv[i]);
    printf("\n");
    return 0;
}
