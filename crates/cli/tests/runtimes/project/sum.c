#include "list.h"

int sum(const struct node *head) {
    int sum = 0;
    for (; head; head = head->next) sum += head->value;
    return sum;
}
