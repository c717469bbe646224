/* The yardstick of `cargo xtask bench field`: the same polling loop on libmodbus. Each device has a connection of its
 * own and is asked once a second for 60 registers, which are 30 floats.
 *
 * libmodbus_poll SECONDS UNITS PORT...: so many units behind each port of 127.0.0.1. Prints JSON.
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST = 1000, REGISTERS = 60, POINTS = 30 };

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_until(double moment)
{
    double left = moment - now(CLOCK_MONOTONIC);
    if (left > 0) {
        struct timespec t = {(time_t)left, (long)(1e9 * (left - (double)(time_t)left))};
        nanosleep(&t, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s SECONDS UNITS PORT...\n", argv[0]);
        return 2;
    }
    int seconds = atoi(argv[1]), units = atoi(argv[2]), ports = argc - 3;
    int devices = units * ports;
    modbus_t **device = calloc((size_t)devices, sizeof *device);
    float (*values)[POINTS] = calloc((size_t)devices, sizeof *values);
    if (!device || !values)
        return 1;
    for (int k = 0; k < devices; k++) {
        device[k] = modbus_new_tcp("127.0.0.1", atoi(argv[3 + k / units]));
        if (!device[k] || modbus_set_slave(device[k], 1 + k % units) || modbus_connect(device[k])) {
            fprintf(stderr, "device %d: %s\n", k, modbus_strerror(errno));
            return 1;
        }
    }
    long late = 0;
    double begin = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), sum = 0;
    for (int second = 0; second < seconds; second++) {
        sleep_until(begin + second);
        for (int k = 0; k < devices; k++) {
            uint16_t words[REGISTERS];
            if (modbus_read_registers(device[k], FIRST, REGISTERS, words) != REGISTERS) {
                fprintf(stderr, "device %d: %s\n", k, modbus_strerror(errno));
                return 1;
            }
            for (int j = 0; j < POINTS; j++)
                values[k][j] = modbus_get_float_abcd(words + 2 * j);
        }
        late += now(CLOCK_MONOTONIC) > begin + second + 1;
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    for (int k = 0; k < devices; k++)
        sum += values[k][0];
    printf("{\"cpu_s\": %.6f, \"points\": %ld, \"late\": %ld, \"mean\": %.3f}\n", cpu,
           (long)seconds * devices * POINTS, late, sum / devices);
    return 0;
}
