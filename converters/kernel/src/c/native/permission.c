/* Whether there are AMX tiles. SPDX-License-Identifier: 0BSD */
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

/* Whether the processor has tiles with products of bf16, and the system lets this process use
 * them: it is asked to, once for all threads. */
static int ac_tiles_permitted(void)
{
#if defined(__x86_64__) && defined(__linux__)
    const unsigned needs = 1u << 22 | 1u << 24;
    const long permission = 0x1023, tile_data = 18;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & needs) == needs &&
           syscall(SYS_arch_prctl, permission, tile_data) == 0;
#else
    return 0;
#endif
}
