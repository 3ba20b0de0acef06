// The shell from inside a program: system and popen.
#include "guest.h"

int main(void) {
    int status = system("exit 9");
    CHECK(WIFEXITED(status));
    EQ(WEXITSTATUS(status), 9);
    ok("system");
    FILE *in = popen("printf 'b\\na\\n' | sort | tr a-z A-Z", "r");
    CHECK(in);
    char text[16] = "";
    EQ(fread(text, 1, sizeof text, in), 4);
    EQ(strcmp(text, "A\nB\n"), 0);
    EQ(pclose(in), 0);
    ok("popen of a pipeline");
    FILE *out = popen("cat > written", "w");
    CHECK(out);
    CHECK(fputs("to the shell", out) >= 0);
    EQ(pclose(out), 0);
    slurp("written", text, sizeof text);
    EQ(strcmp(text, "to the shell"), 0);
    ok("popen for writing");
    return 0;
}
