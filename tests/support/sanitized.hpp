#pragma once

/// Whether this is compiled with the address or the thread sanitizer, which replace malloc and end a program where memory is
/// refused.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MILKIT_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MILKIT_TEST_SANITIZED 1
#endif
#endif
