// CUDA's and cuBLAS's handles as owners, and their status codes as errors that quote the call.
// defines: CUDA_CALL, Stream, Event, PinnedMemory, allocate, Buffer, Library, Cublas
#pragma once
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <memory>
#include <string>
#include <typeindex>
#include <utility>

#define CUDA_CALL(call) ::gpu::check(call, #call)

namespace gpu {

void check(cudaError_t status, const char* call);
void check(cudaError_t status, std::type_index kernel);                      // named only where it failed

template <auto destroy> struct Destroy {
  template <class T> void operator()(T* handle) const { destroy(handle); }
};
template <class Handle, auto destroy> using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;

using Stream = Owner<cudaStream_t, cudaStreamDestroy>;
using Event = Owner<cudaEvent_t, cudaEventDestroy>;
using PinnedMemory = Owner<void*, cudaFreeHost>;

Stream make_stream();
Event make_event();
PinnedMemory make_pinned(size_t bytes);
void* allocate(size_t bytes);        // device memory; the error says what was asked for and what is free

// Device memory that grows to what is asked for and is never read across requests.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { cudaFree(memory_); }
  Buffer(const Buffer&) = delete;
  void* at_least(size_t bytes);

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

// A library of cuBLAS, loaded when the first GPU is opened: they are hundreds of MB, and a machine without a GPU need
// not have them.
class Library {
 public:
  // name: "cublas"; symbol: one of its functions, which is there already in a program that is linked with the emulation
  Library(const char* name, const char* symbol);
  template <class F>
  void find(F*& function, const char* symbol) const {
    function = reinterpret_cast<F*>(address(symbol));
  }

 private:
  void* address(const char* symbol) const;
  std::string file_;
  void* handle_;
};

class Cublas {
 public:
  explicit Cublas(cudaStream_t stream);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  int version() const;
  // With the arguments of cublasGemmEx and cublasGemmStridedBatchedEx behind the handle.
  template <class... A> void gemm(A... arguments) const { check(gemm_(handle_, arguments...), "cublasGemmEx"); }
  template <class... A>
  void gemm_batch(A... arguments) const {
    check(gemm_batch_(handle_, arguments...), "cublasGemmStridedBatchedEx");
  }

 private:
  using Operation = cublasOperation_t;
  using Type = cudaDataType;
  void check(cublasStatus_t status, const char* call) const;
  decltype(&cublasDestroy_v2) destroy_;
  decltype(&cublasGetVersion_v2) get_version_;
  // Written out: the header overloads both names.
  cublasStatus_t (*gemm_)(cublasHandle_t, Operation, Operation, int m, int n, int k, const void* alpha, const void* a,
                          Type, int lda, const void* b, Type, int ldb, const void* beta, void* c, Type, int ldc,
                          cublasComputeType_t, cublasGemmAlgo_t);
  cublasStatus_t (*gemm_batch_)(cublasHandle_t, Operation, Operation, int m, int n, int k, const void* alpha,
                                const void* a, Type, int lda, long long step_a, const void* b, Type, int ldb,
                                long long step_b, const void* beta, void* c, Type, int ldc, long long step_c, int batch,
                                cublasComputeType_t, cublasGemmAlgo_t);
  decltype(&cublasGetStatusString) status_text_;
  cublasHandle_t handle_ = nullptr;
  // Its own, of the size NVIDIA advises for Hopper: which algorithm is taken, and so the bits, must not hang on what
  // could be allocated.
  static constexpr size_t workspace_bytes = size_t(32) << 20;
  Buffer workspace_;
};

}  // namespace gpu
