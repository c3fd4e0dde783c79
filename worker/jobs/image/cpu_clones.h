// For loops over pixels that the compiler vectorises: made twice, for every x86-64 and for those with AVX2, which
// the loader picks where it can. Plain x86-64 has no shuffles of bytes. (Sanitizers do not know the loader's choice.)
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define QUERN_FOR_NEWER_CPUS __attribute__((target_clones("arch=haswell", "default")))
#else
#define QUERN_FOR_NEWER_CPUS
#endif
