#include "engine/cuda/runtime.h"
#include <dlfcn.h>
#include <algorithm>
#include "engine/error.h"
#include "engine/text.h"

namespace gpu {

void check(cudaError_t status, std::type_index kernel) {
  if (status != cudaSuccess) check(status, demangled(kernel).c_str());
}
void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess)
    fail(ExitCode::failed, "cuda: {} failed: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status));
}

Stream make_stream() {
  cudaStream_t stream;
  CUDA_CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

Event make_event() {
  cudaEvent_t event;
  CUDA_CALL(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

PinnedMemory make_pinned(size_t bytes) {
  void* memory;
  CUDA_CALL(cudaMallocHost(&memory, bytes));
  return PinnedMemory(memory);
}

void* allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, std::max<size_t>(bytes, 64));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();                                                    // or the next launch would report it
    size_t free = 0, total = 0;
    CUDA_CALL(cudaMemGetInfo(&free, &total));
    fail(ExitCode::failed,
         "cuda: out of memory: {} MiB asked for, {} of {} MiB free; try a smaller --batch or --micro-batch",
         bytes >> 20, free >> 20, total >> 20);
  }
  check(status, "cudaMalloc");
  return memory;
}

void* Buffer::at_least(size_t bytes) {
  if (bytes_ < bytes) {
    cudaFree(std::exchange(memory_, nullptr));                             // waits for those who use it
    bytes_ = 0;
    memory_ = allocate(bytes);
    bytes_ = bytes;
  }
  return memory_;
}

Library::Library(const char* name, const char* symbol) : file_(fmt::format("lib{}.so.{}", name, CUBLAS_VER_MAJOR)) {
  const bool linked = dlsym(RTLD_DEFAULT, symbol);                         // as the emulation is
  handle_ = linked ? RTLD_DEFAULT : dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!linked && !handle_)
    fail(ExitCode::failed, "cuda: {}; install the cuBLAS of CUDA {}", dlerror(), CUBLAS_VER_MAJOR);
}

void* Library::address(const char* symbol) const {
  void* const found = dlsym(handle_, symbol);
  if (!found)
    fail(ExitCode::failed, "cuda: {} has no {}; install the cuBLAS of CUDA {}", file_, symbol, CUBLAS_VER_MAJOR);
  return found;
}

Cublas::Cublas(cudaStream_t stream) {
  const Library library("cublas", "cublasCreate_v2");
  auto find = [&](auto& function, const char* symbol) { library.find(function, symbol); };
  decltype(&cublasCreate_v2) create;
  decltype(&cublasSetStream_v2) set_stream;
  find(create, "cublasCreate_v2"), find(set_stream, "cublasSetStream_v2"), find(destroy_, "cublasDestroy_v2"),
      find(get_version_, "cublasGetVersion_v2");
  decltype(&cublasSetWorkspace_v2) set_workspace;
  find(set_workspace, "cublasSetWorkspace_v2");
  find(gemm_, "cublasGemmEx"), find(gemm_batch_, "cublasGemmStridedBatchedEx"),
      find(status_text_, "cublasGetStatusString");
  check(create(&handle_), "cublasCreate");
  try {
    check(set_stream(handle_, stream), "cublasSetStream");
    // after the stream, which would reset it
    check(set_workspace(handle_, workspace_.at_least(workspace_bytes), workspace_bytes), "cublasSetWorkspace");
  } catch (...) {
    destroy_(handle_);
    throw;
  }
}

Cublas::~Cublas() { destroy_(handle_); }

int Cublas::version() const {
  int version = 0;
  check(get_version_(handle_, &version), "cublasGetVersion");
  return version;
}

void Cublas::check(cublasStatus_t status, const char* call) const {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ExitCode::failed, "cuda: {} failed: {}", call, status_text_(status));
}

}  // namespace gpu
