#pragma once
/// A stack of its own that code can run on, stop in the middle and go on later. Address and thread sanitizer are told of every
/// switch; for the thread sanitizer a switch also orders what comes before and after it.

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>

#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define EMULATION_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EMULATION_TSAN 1
#endif
#endif

#if defined(EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulation {

#if defined(__x86_64__)
/// Saves what a call must preserve, and goes on with the stack `to`.
[[gnu::naked, gnu::noinline]] inline void switch_stack([[maybe_unused]] void** from, [[maybe_unused]] void* to) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

class fibre {
 public:
  using entry = void (*)();

  /// The stack that this thread of the program runs on already.
  fibre() {
#if defined(EMULATION_TSAN)
    sanitizer_ = __tsan_get_current_fiber();
#endif
  }

  /// `run` must never return: it switches to another fibre instead.
  explicit fibre(entry run) {
    memory_ = mmap(nullptr, size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory_, guard, PROT_NONE);
    bottom_ = static_cast<std::byte*>(memory_) + guard;
    bytes_ = size;
#if defined(__x86_64__)
    void** top = reinterpret_cast<void**>(static_cast<std::byte*>(memory_) + guard + size);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(run);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    stack_ = top;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = static_cast<std::byte*>(memory_) + guard;
    context_.uc_stack.ss_size = size;
    makecontext(&context_, run, 0);
#endif
#if defined(EMULATION_TSAN)
    sanitizer_ = __tsan_create_fiber(0);
#endif
  }
  fibre(const fibre&) = delete;
  fibre& operator=(const fibre&) = delete;
  ~fibre() {
    if (!memory_) return;
#if defined(EMULATION_ASAN)
    __asan_unpoison_memory_region(bottom_, bytes_);
#endif
#if defined(EMULATION_TSAN)
    __tsan_destroy_fiber(sanitizer_);
#endif
    munmap(memory_, size + guard);
  }

  /// Stops here and goes on in `next`; returns when somebody switches back.
  void switch_to(fibre& next) {
    coming_from() = this;
#if defined(EMULATION_ASAN)
    __sanitizer_start_switch_fiber(&fake_stack_, next.bottom_, next.bytes_);
#endif
#if defined(EMULATION_TSAN)
    __tsan_switch_to_fiber(next.sanitizer_, 0);
#endif
#if defined(__x86_64__)
    switch_stack(&stack_, next.stack_);
#else
    swapcontext(&context_, &next.context_);
#endif
    arrive();
  }

  /// To be called first by a fibre's `run`.
  void arrive() {
#if defined(EMULATION_ASAN)
    const void* bottom = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &bytes);
    if (!coming_from()->memory_) {
      coming_from()->bottom_ = bottom;
      coming_from()->bytes_ = bytes;
    }
#endif
  }

 private:
  static constexpr std::size_t size = std::size_t{128} << 10, guard = 4096;

  static fibre*& coming_from() {
    static fibre* from = nullptr;
    return from;
  }

  void* memory_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
#if defined(__x86_64__)
  void* stack_ = nullptr;
#else
  ucontext_t context_ = {};
#endif
#if defined(EMULATION_ASAN)
  void* fake_stack_ = nullptr;
#endif
#if defined(EMULATION_TSAN)
  void* sanitizer_ = nullptr;
#endif
};

}  // namespace emulation
