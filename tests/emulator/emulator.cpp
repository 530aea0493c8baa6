// The scheduler: every CUDA thread of a block is a fiber; barriers and warp functions are where they meet. Compiled
// without TSan, whose hooks (and ASan's) it calls where they are linked in.
#include "tests/emulator/scheduler.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <utility>
#include <vector>
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

extern "C" void emulator_switch(void** save, void* to);
asm(R"(.text
.globl emulator_switch
emulator_switch: push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi); mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret)");

namespace emulator {

thread_local Index* current;
thread_local dim3 block_size, grid_size;
int misuses;

namespace {

enum class State { fresh, ready, at_barrier, in_warp_function, done };
constexpr size_t stack_bytes = 256 << 10;

struct Stack {
  char* base;
  char* top;
  void* tsan;                      // TSan's identity of whoever runs on it
};
// The copies that a thread has started, in groups. Of fixed size: what a thread frees TSan would see another allocate.
struct Copies {
  static constexpr unsigned most = 32, most_groups = 4;
  Copy list[most];
  unsigned first = 0, last = 0, ends[most_groups], first_group = 0, last_group = 0;
};
struct Fiber : Index {
  void* stack_pointer = nullptr;
  Stack stack{};
  State state = State::fresh;
  int line = 0, number = 0;
  unsigned block_number = 0;
  void* fake_stack = nullptr;      // ASan's
};
// Values are published in two alternating sets: a lane that runs ahead does not overwrite what others still read.
struct Warp {
  unsigned arrived = 0, mask = 0;
  int meeting = 0;
  uint64_t values[2][32];
  float a[16][16], b[16][8];
};

std::vector<Fiber> fibers;
std::vector<Copies> copies;         // of each fiber
std::vector<Warp> warps;
std::vector<Stack> idle_stacks;
void *main_stack_pointer, *main_fake_stack, *main_tsan;
const void* main_stack_bottom;
size_t main_stack_size;
const std::function<void()>* kernel;
struct Array { const void* key; void* memory; };
std::vector<Array> shared_arrays;
size_t shared_bytes, arena_used;
// TSan: what a barrier or a meeting of a warp orders goes through one of two alternating tags, or an early arrival at
// the next one would order what this one does not.
char start_tag, end_tag, *tags;
int barriers_passed;

Fiber& self() { return *static_cast<Fiber*>(current); }

void give_way(State state) {
  Fiber& f = self();
  f.state = state;
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(state == State::done ? nullptr : &f.fake_stack, main_stack_bottom, main_stack_size);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(main_tsan, 1);
  emulator_switch(&f.stack_pointer, main_stack_pointer);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(f.fake_stack, nullptr, nullptr);
}

// Apart: the frame of fiber_main is never left, and ASan would find its variables in that of the next fiber.
[[gnu::noinline]] void check_copies(const Fiber& f) {
  if (copies[f.number].first != copies[f.number].last)
    misuse("thread %d ended before it waited for copies it had started", f.number);
}

void fiber_main() {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, &main_stack_bottom, &main_stack_size);
  if (__tsan_acquire) __tsan_acquire(&start_tag);
  (*kernel)();
  check_copies(self());
  if (__tsan_release) __tsan_release(&end_tag);
  give_way(State::done);
  std::abort();
}

Stack make_stack() {
  static int made = 0;
  char* base =
      static_cast<char*>(mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(base, 4096, PROT_NONE);                                              // a guard page
  // tops in different cache sets
  return {base, base + stack_bytes - 64 - made++ % 61 * 256, __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr};
}

// The stack used last is the first to be used again, so a kernel without barriers needs one. TSan would take that for
// races: there each thread number keeps its own, with another identity in every other block.
Stack take_stack(const Fiber& f) {
  if (__tsan_create_fiber) {
    static std::map<std::pair<int, unsigned>, Stack> own;
    Stack& stack = own[{f.number, f.block_number % 2}];
    if (!stack.base) stack = make_stack();
    return stack;
  }
  if (idle_stacks.empty()) return make_stack();
  const Stack stack = idle_stacks.back();
  idle_stacks.pop_back();
  return stack;
}

void resume(Fiber& f) {
  if (f.state == State::fresh) {
    f.stack = take_stack(f);
    void** top = reinterpret_cast<void**>(f.stack.top);
    top[0] = reinterpret_cast<void*>(fiber_main);
    f.stack_pointer = top - 6;
  }
  current = &f;
  f.state = State::ready;
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&main_fake_stack, f.stack.base, stack_bytes);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(f.stack.tsan, 1);
  emulator_switch(&main_stack_pointer, f.stack_pointer);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(main_fake_stack, nullptr, nullptr);
  if (f.state == State::done && !__tsan_create_fiber) idle_stacks.push_back(f.stack);
}

// Memory at an address no block of this launch has had, or TSan would see two blocks meet; mapped without TSan knowing.
char* fresh_memory(size_t bytes) {
  static char* arena = reinterpret_cast<char*>(syscall(SYS_mmap, nullptr, size_t(1) << 34, PROT_READ | PROT_WRITE,
                                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return arena + std::exchange(arena_used, arena_used + (bytes + 127) / 128 * 128);
}

void free_shared() {
  if (!__tsan_acquire) for (const Array& a : shared_arrays) std::free(a.memory);
  shared_arrays.clear();
  shared_bytes = 0;
}

// Nobody can run: a barrier that all have reached, or misuse.
void open_barrier(size_t done) {
  for (const Fiber& f : fibers)
    if (f.state == State::in_warp_function) {
      misuse("deadlock: thread %d waits in a warp function for lanes that never come to it", f.number);
      std::_Exit(3);
    }
  int line = 0;
  size_t waiting = 0;
  for (Fiber& f : fibers) {
    if (f.state != State::at_barrier) continue;
    if (line && line != f.line) misuse("threads wait at different barriers, lines %d and %d", line, f.line);
    line = f.line;
    f.state = State::ready;
    waiting++;
  }
  barriers_passed++;
  if (done) misuse("%zu threads had returned when the other %zu came to the barrier in line %d", done, waiting, line);
}

void run_block(dim3 grid, dim3 block, unsigned number, std::vector<size_t>& order,
               const std::function<void(std::vector<size_t>&)>& permute) {
  const size_t threads = order.size();
  tags = fresh_memory(2 + threads / 16 + 2);
  barriers_passed = 0;
  fibers.assign(threads, Fiber{});
  copies.assign(threads, Copies{});
  warps.assign((threads + 31) / 32, Warp{});
  for (unsigned t = 0; t < threads; t++) {
    Fiber& f = fibers[t];
    f.number = int(t);
    f.block_number = number;
    f.thread = {t % block.x, t / block.x % block.y, t / block.x / block.y};
    f.block = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
  }
  for (size_t done = 0; done < threads;) {
    bool moved = false;
    permute(order);
    for (size_t t : order)
      if (fibers[t].state <= State::ready) {
        resume(fibers[t]);
        moved = true;
        done += fibers[t].state == State::done;
      }
    if (!moved) open_barrier(done);
  }
  free_shared();
}

}  // namespace

int setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::atoi(value) : 0;
}

void misuse(const char* format, ...) {
  if (misuses++ >= 5) return;
  va_list arguments;
  va_start(arguments, format);
  std::fputs("emulator: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}

void barrier(int line) {
  char* tag = tags + barriers_passed % 2;
  if (__tsan_release) __tsan_release(tag);
  self().line = line;
  give_way(State::at_barrier);
  if (__tsan_acquire) __tsan_acquire(tag);
}

namespace {
// Returns when all lanes of the mask have published their values.
const uint64_t* meet(unsigned mask, uint64_t value) {
  Fiber& f = self();
  Warp& warp = warps[f.number / 32];
  const int lane = f.number % 32, set = warp.meeting % 2;
  char* tag = tags + 2 + f.number / 32 * 2 + set;
  if (warp.arrived && warp.mask != mask) misuse("lanes of one warp call a warp function with different masks");
  if (!(mask >> lane & 1)) misuse("lane %d is not in its own mask", lane);
  if (__tsan_release) __tsan_release(tag);
  warp.mask = mask;
  warp.values[set][lane] = value;
  warp.arrived |= 1u << lane;
  if ((warp.arrived & mask) == mask) {
    warp.arrived = 0;
    warp.meeting++;
    const size_t first = size_t(f.number / 32 * 32), end = std::min(fibers.size(), first + 32);
    for (size_t t = first; t < end; t++) if (fibers[t].state == State::in_warp_function) fibers[t].state = State::ready;
  } else {
    give_way(State::in_warp_function);
  }
  if (__tsan_acquire) __tsan_acquire(tag);
  return warp.values[set];
}
}  // namespace

uint64_t exchange(unsigned mask, uint64_t value, int source) {
  const uint64_t* values = meet(mask, value);
  if (mask >> source & 1) return values[source];
  misuse("a shuffle reads lane %d, which is not in the mask", source);
  return ~uint64_t(0);
}

void gather(uint64_t value, uint64_t (&all)[32]) {
  const volatile uint64_t* values = meet(~0u, value);            // TSan would see a memcpy
  for (int i = 0; i < 32; i++) all[i] = values[i];
}

void multiply_add(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  const auto low = [](uint32_t pair) { return __builtin_bit_cast(float, pair << 16); };
  const auto high = [](uint32_t pair) { return __builtin_bit_cast(float, pair & 0xFFFF0000u); };
  Warp& w = warps[self().number / 32];
  const int row = lane() / 4, column = lane() % 4 * 2;
  for (int i = 0; i < 4; i++)
    w.a[row + i % 2 * 8][column + i / 2 * 8] = low(a[i]), w.a[row + i % 2 * 8][column + 1 + i / 2 * 8] = high(a[i]);
  w.b[column][row] = low(b0), w.b[column + 1][row] = high(b0), w.b[column + 8][row] = low(b1),
  w.b[column + 9][row] = high(b1);
  meet(~0u, 0);
  for (int i = 0; i < 4; i++) {
    float s = 0;
    for (int k = 0; k < 16; k++) s += w.a[row + i / 2 * 8][k] * w.b[k][column + i % 2];
    c[i] += s;
  }
  meet(~0u, 0);
}

void copy_later(const Copy& copy) {
  Copies& c = copies[self().number];
  if (c.last - c.first == Copies::most) return misuse("a thread has more than %u copies under way", Copies::most);
  c.list[c.last++ % Copies::most] = copy;
}
void close_copies() {
  Copies& c = copies[self().number];
  if (c.last_group - c.first_group == Copies::most_groups)
    return misuse("a thread has more than %u groups of copies under way", Copies::most_groups);
  c.ends[c.last_group++ % Copies::most_groups] = c.last;
}
bool next_copy(int left, Copy& copy) {
  Copies& c = copies[self().number];
  for (; int(c.last_group - c.first_group) > left; c.first_group++)
    if (c.first != c.ends[c.first_group % Copies::most_groups]) {
      copy = c.list[c.first++ % Copies::most];
      return true;
    }
  return false;
}

void* shared(const void* key, size_t bytes) {
  for (const Array& a : shared_arrays) if (a.key == key) return a.memory;
  const size_t rounded = (bytes + 127) / 128 * 128;
  void* memory = __tsan_acquire ? fresh_memory(bytes) : std::aligned_alloc(128, rounded);
  // NaN as float; TSan would see memset
  for (size_t i = 0; i < rounded / 8; i++) static_cast<volatile uint64_t*>(memory)[i] = ~uint64_t(0);
  if (__asan_poison_memory_region) __asan_poison_memory_region(static_cast<char*>(memory) + bytes, rounded - bytes);
  if ((shared_bytes += bytes) > 48 << 10)
    misuse("%zu bytes of shared memory in a block, at most 49152 without asking for more", shared_bytes);
  shared_arrays.push_back({key, memory});
  return memory;
}

void run_grid(dim3 grid, dim3 block, const std::function<void()>& body) {
  block_size = block;
  grid_size = grid;
  kernel = &body;
  std::vector<size_t> blocks(size_t(grid.x) * grid.y * grid.z), order(size_t(block.x) * block.y * block.z);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::iota(order.begin(), order.end(), 0);
  static const int order_setting = setting("EMULATOR_ORDER");
  static std::mt19937 random((unsigned(order_setting)));
  if (order_setting == 1) std::reverse(blocks.begin(), blocks.end()), std::reverse(order.begin(), order.end());
  const std::function<void(std::vector<size_t>&)> permute = [](std::vector<size_t>& v) {
    if (order_setting > 1) std::shuffle(v.begin(), v.end(), random);
  };
  permute(blocks);
  if (__tsan_get_current_fiber) main_tsan = __tsan_get_current_fiber();
  fibers.reserve(order.size());  // before the release, or TSan sees operator new meet the kernel
  warps.reserve((order.size() + 31) / 32);
  if (__tsan_release) __tsan_release(&start_tag);
  for (size_t number : blocks) run_block(grid, block, unsigned(number), order, permute);
  if (__tsan_acquire) __tsan_acquire(&end_tag);
  arena_used = 0;
}

}  // namespace emulator

// A test program that passed all its checks still fails when the emulator saw misuse.
namespace {
struct FailAtExit {
  ~FailAtExit() {
    if (!emulator::misuses) return;
    std::fprintf(stderr, "emulator: %d misuses\n", emulator::misuses);
    std::fflush(nullptr);
    std::_Exit(3);
  }
} fail_at_exit;
}  // namespace
