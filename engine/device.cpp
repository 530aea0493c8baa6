#include "engine/device.h"
#include "engine/error.h"

#ifndef RELUCENT_CUDA
std::unique_ptr<Device> make_cuda(const CudaOptions&) {
  fail(ExitCode::failed,
       "this build has no CUDA: make found no nvcc, or was told CUDA=0 (as by make demo where there is no GPU); "
       "install the CUDA Toolkit if it is missing, put nvcc on the PATH and run make, or use --device cpu");
}
#endif

std::unique_ptr<Device> make_device(const DeviceOptions& o) {
  if (o.device == "cuda")
    return make_cuda(
        {.precision = o.precision, .fused_attention = o.fused_attention, .fused_products = o.fused_products});
  if (o.device != "cpu") fail(ExitCode::usage, "--device: '{}' is unknown, expected cpu or cuda", o.device);
  if (o.precision == Precision::tf32)
    fail(ExitCode::usage,
         "--precision tf32 is a format of NVIDIA GPUs; use --device cuda with it, or f32 or bf16 on the CPU");
  return make_cpu(o.threads, o.precision);
}
