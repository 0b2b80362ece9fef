/* Calls tile functions that were compiled for ARM, with arrays from files; tests/nets/test_arm.py builds and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARGS int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t
void sums(ARGS);
void levels(ARGS);

static void *whole(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file) exit(2);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    void *data = malloc(size + 64);
    if (fread(data, 1, size, file) != (size_t)size) exit(3);
    fclose(file);
    return data;
}

/* inputs, weights, starts, multipliers, shifts, roundings, out; then rows, stride, steps, columns */
int main(int count, char **argument) {
    int64_t place[6];
    for (int k = 0; k < 6; k++) place[k] = (int64_t)whole(argument[1 + k]);
    long rows = atol(argument[8]), stride = atol(argument[9]), steps = atol(argument[10]), columns = atol(argument[11]);
    int32_t *found = calloc(rows * columns, 4);
    int8_t *small = calloc(rows * columns, 1);
    sums(place[0], stride, place[1], steps, place[2], 0, 0, 0, (int64_t)found, 4 * columns);
    levels(place[0], stride, place[1], steps, place[2], place[3], place[4], place[5], (int64_t)small, columns);
    FILE *out = fopen(argument[7], "wb");
    fwrite(found, 4, rows * columns, out);
    fwrite(small, 1, rows * columns, out);
    return fclose(out);
}
