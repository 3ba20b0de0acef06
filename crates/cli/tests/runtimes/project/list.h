struct node {
    int value;
    struct node *next;
};

struct node *push(struct node *head, int value);
int sum(const struct node *head);
unsigned crc(const char *text);
void shout(char *text);
