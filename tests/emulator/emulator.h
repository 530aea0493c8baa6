// CUDA on the CPU, for tests: the kernel side. The sources of engine/cuda compile with g++ against this header, and
// every CUDA thread runs as a fiber. What it watches for: barriers that not all threads reach, warp functions with
// other masks, shared memory read before it is written (it is NaN) or out of bounds (under ASan), pointers among the
// arguments that are no device memory, and, under TSan, every race. Host code includes the genuine CUDA headers;
// runtime.cpp and cublas.cpp stand for the libraries.
//   EMULATOR_ORDER=0|1|n  threads and blocks in ascending, descending, or random order with seed n
//   EMULATOR_LAZY=0|1|2   work starts at once; or not before somebody waits for it; or then with other streams first
//   EMULATOR_LAUNCHES=f   programs with counting/ linked in write to this file what each launch moved (see traffic.h)
// defines: threadIdx ... __shfl_xor_sync, SHARED, gpu::launch
#pragma once
#include <cuda_runtime_api.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <typeinfo>

#undef __launch_bounds__
#define __launch_bounds__(...)

namespace emulator {

struct Index { uint3 thread, block; };
struct Kernel { const void* function; const std::type_info* first_parameter; };
extern thread_local Index* current;                      // the running CUDA thread's
extern thread_local dim3 block_size, grid_size;

// Misuse, printed to stderr and counted. A program that met any ends with exit status 3 (see emulator.cpp).
extern int misuses;
void misuse(const char* format, ...) __attribute__((format(printf, 1, 2)));

void barrier(int line);
uint64_t exchange(unsigned mask, uint64_t value, int source);      // publishes value, returns that of lane `source`
void gather(uint64_t value, uint64_t (&all)[32]);                  // those of all lanes
void multiply_add(float* c, const uint32_t* a, uint32_t b0, uint32_t b1);      // mma.sync m16n8k16
void* shared(const void* key, size_t bytes);
struct Copy { void* to; const void* from; int bytes; };            // from null: zeros
void copy_later(const Copy& copy);
void close_copies();
bool next_copy(int left,
               Copy& copy);  // takes one of this thread's oldest group; false where only `left` groups are there
cudaError_t start(Kernel kernel, dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> body);
void check_pointer(const void* pointer, int argument);

inline int thread_number() {
  return int(current->thread.x + block_size.x * (current->thread.y + block_size.y * current->thread.z));
}
inline int lane() { return thread_number() % 32; }

template <class T> T shuffle(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T> void check_argument(const T& x, int argument) {
  if constexpr (std::is_pointer_v<T>) check_pointer(x, argument);
}

}  // namespace emulator

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::current->block)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
#define __syncthreads() emulator::barrier(__LINE__)
#define __syncwarp() ((void)emulator::exchange(~0u, 0, emulator::lane()))
#define __shfl_xor_sync(mask, value, distance) emulator::shuffle(mask, value, emulator::lane() ^ (distance))
#define __shfl_sync(mask, value, source) emulator::shuffle(mask, value, (source) & 31)

// Each array is memory of its own, new for every block: ASan sees its bounds, and what was not written is NaN.
#define SHARED(type, name, extents)                  \
  using name##_array = type extents;                 \
  static char name##_key;                            \
  name##_array& name = *static_cast<name##_array*>(emulator::shared(&name##_key, sizeof(name##_array)))

namespace gpu {
template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A&&... arguments) {
  std::tuple<P...> fields(std::forward<A>(arguments)...);
  int number = 0;
  std::apply([&](const auto&... x) { (emulator::check_argument(x, number++), ...); }, fields);
  const emulator::Kernel which{reinterpret_cast<const void*>(kernel),
                               &typeid(std::tuple_element_t<0, std::tuple<P...>>)};
  return emulator::start(which, grid, block, stream, [kernel, fields] { std::apply(kernel, fields); });
}
}  // namespace gpu
