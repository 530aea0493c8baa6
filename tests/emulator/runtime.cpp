// The CUDA runtime: memory, streams and events. Device memory is host memory that starts as NaN and that host code may
// not touch: under ASan it is poisoned whenever no kernel runs.
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>
#include "tests/emulator/scheduler.h"
#include "tests/emulator/traffic.h"

struct CUevent_st { int64_t recorded = 0, reached = 0; CUstream_st* stream = nullptr; };
struct CUstream_st {
  struct Operation {
    std::function<void()> work = {};
    CUevent_st* record = nullptr;
    CUevent_st* wait = nullptr;
    int64_t count = 0;               // which record of the event
  };
  std::deque<Operation> queue;
};

namespace emulator {
namespace {

std::map<char*, size_t> device_memory;
std::vector<CUstream_st*> streams;
cudaError_t last_error = cudaSuccess;
const int lazy = setting("EMULATOR_LAZY");

void guard(bool on) {
  if (!__asan_poison_memory_region) return;
  for (auto [memory, bytes] : device_memory)
    on ? __asan_poison_memory_region(memory, bytes) : __asan_unpoison_memory_region(memory, bytes);
}

// Runs the first operation of the queue, and before it what it waits for.
void step(CUstream_st& stream);
void reach(CUevent_st& event, int64_t count) {
  while (event.reached < count) step(*event.stream);
}
void step(CUstream_st& stream) {
  const CUstream_st::Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (operation.wait) reach(*operation.wait, operation.count);
  if (operation.work) operation.work();
  if (operation.record) operation.record->reached = operation.count;
}
void drain(CUstream_st& stream) {
  while (!stream.queue.empty()) step(stream);
}
void drain_all() {
  for (CUstream_st* stream : streams) drain(*stream);
}

// Work that is ready runs only as far as somebody waits for it; with EMULATOR_LAZY=2 that of other streams runs before.
template <class Wait> void unguarded(Wait wait) {
  guard(false);
  wait();
  guard(true);
}
void wait_for(CUstream_st& stream) {
  unguarded([&] {
    if (lazy == 2) for (CUstream_st* other : streams) if (other != &stream) drain(*other);
    drain(stream);
  });
}

cudaError_t append(cudaStream_t stream, CUstream_st::Operation operation) {
  if (!stream) {
    misuse("work on the default stream, which waits for every other");
    return cudaErrorInvalidResourceHandle;
  }
  stream->queue.push_back(std::move(operation));
  if (!lazy) wait_for(*stream);
  return cudaSuccess;
}

}  // namespace

__attribute__((weak)) void run_kernel(const Kernel&, dim3 grid, dim3 block, const std::function<void()>& body) {
  run_grid(grid, block, body);
}
__attribute__((weak)) void count_product(uint64_t, uint64_t) {}
__attribute__((weak)) std::vector<Launch> take_launches() { return {}; }

bool is_device(const void* pointer) {
  auto after = device_memory.upper_bound(static_cast<char*>(const_cast<void*>(pointer)));
  return after != device_memory.begin() && (--after, static_cast<const char*>(pointer) < after->first + after->second);
}

void check_pointer(const void* pointer, int argument) {
  if (!pointer || is_device(pointer)) return;
  misuse("argument %d of a kernel or library call is not device memory", argument);
  last_error = cudaErrorInvalidValue;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  return append(stream, {.work = std::move(work)});
}

cudaError_t start(Kernel kernel, dim3 grid, dim3 block, cudaStream_t stream, std::function<void()> body) {
  const size_t threads = size_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.x > 0x7FFFFFFFu || grid.y == 0 ||
      grid.y > 65535 || grid.z == 0 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  return enqueue(stream, [=, body = std::move(body)] { run_kernel(kernel, grid, block, body); });
}

}  // namespace emulator

using namespace emulator;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "emulated on the CPU");
  properties->major = 9, properties->minor = 0, properties->totalGlobalMem = size_t(4) << 30,
  properties->multiProcessorCount = 1;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = *free = size_t(4) << 30;
  for (auto [memory, bytes] : device_memory) *free -= bytes;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t e) { return e ? "an error of the emulator" : "no error"; }
const char* cudaGetErrorName(cudaError_t e) {
  return e == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration"
         : e == cudaErrorInvalidValue       ? "cudaErrorInvalidValue"
         : e                                ? "cudaError"
                                            : "cudaSuccess";
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  size_t free, total;
  cudaMemGetInfo(&free, &total);
  if (bytes > free) return last_error = cudaErrorMemoryAllocation;
  const size_t rounded = std::max<size_t>(256, (bytes + 255) / 256 * 256);
  *pointer = std::aligned_alloc(256, rounded);
  std::memset(*pointer, 0xFF, rounded);
  if (__asan_poison_memory_region) __asan_poison_memory_region(*pointer, rounded);
  device_memory[static_cast<char*>(*pointer)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  unguarded(drain_all);
  const auto block = device_memory.find(static_cast<char*>(pointer));
  if (block == device_memory.end()) {
    misuse("cudaFree of what cudaMalloc did not give");
    return cudaErrorInvalidValue;
  }
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(pointer, (block->second + 255) / 256 * 256);
  device_memory.erase(block);
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { *pointer = std::malloc(bytes); return cudaSuccess; }
cudaError_t cudaFreeHost(void* pointer) {
  unguarded(drain_all);
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) && !is_device(to))
    misuse("a copy to the device goes to what is not device memory");
  if ((kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) && !is_device(from))
    misuse("a copy from the device comes from what is not device memory");
  return enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  streams.push_back(*stream = new CUstream_st);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  wait_for(*stream);
  std::erase(streams, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  wait_for(*stream);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  unguarded(drain_all);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { *event = new CUevent_st; return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event->stream && event->reached < event->recorded) wait_for(*event->stream);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return append(stream, {.record = event, .count = ++event->recorded});
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->recorded == 0) return cudaSuccess;                          // as CUDA: nothing to wait for
  return append(stream, {.wait = event, .count = event->recorded});
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->reached < event->recorded) unguarded([&] { reach(*event, event->recorded); });
  return cudaSuccess;
}

}  // extern "C"
