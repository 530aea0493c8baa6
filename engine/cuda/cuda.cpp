// The CUDA device: one compute stream in which everything has its order, and one for copies from the host.
#include <algorithm>
#include <cstring>
#include <vector>
#include "engine/attention/probe.h"
#include "engine/cuda/fused_attention.h"
#include "engine/cuda/gemm.h"
#include "engine/error.h"
#include "engine/ops/linear.h"
#include "engine/text.h"

namespace {

class Cuda final : public Device {
 public:
  explicit Cuda(const CudaOptions& options)
      : name_(find_device()),
        spare_(std::min(options.spare_memory, total_memory() / 4)),
        compute_(gpu::make_stream()),
        launchers_(kernel_launchers()),
        rounds_(options.precision == Precision::bf16),
        fuses_(rounds_ && options.fused_attention),
        products_(compute_.get(), options, launchers_),
        uploads_(compute_.get()),
        tile_(*this, options.workspace) {}
  ~Cuda() override { cudaStreamSynchronize(compute_.get()); }

  std::string description() const override {
    return fmt::format("cuda: {}, products by {}, attention {}", name_, products_.description(),
                       fuses_ ? "fused where it applies, else tiled" : "tiled");
  }

  void* allocate(size_t bytes) override { return gpu::allocate(bytes); }
  void release(void* memory) override { cudaFree(memory); }
  size_t slab(size_t held) const override { return std::clamp(held, size_t(16) << 20, size_t(64) << 20); }

  void upload(void* device, const void* host, size_t bytes) override {
    uploads_.wait_for_compute();
    uploads_.copy(device, host, bytes);
  }
  void upload_early(void* device, const void* host, size_t bytes) override { uploads_.copy(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override {
    if (bytes) CUDA_CALL(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, compute_.get()));
    CUDA_CALL(cudaStreamSynchronize(compute_.get()));
  }

  void gemm(const Gemm& product) override { products_(product); }
  bool keeps_pieces(const Gemm& p, std::type_index body, const void* fields) const override {
    return products_.epilogue(p, body, fields).has_value();
  }
  void gemm_then(const Gemm& p, std::type_index body, const void* fields) override {
    if (const auto epilogue = products_.epilogue(p, body, fields)) products_(p, *epilogue);
    else Device::gemm_then(p, body, fields);
  }
  bool rounds_operands() const override { return rounds_; }
  bool fuses_attention() const override { return fuses_; }
  std::optional<size_t> fuses(const TilesBody& body) const override {
    return fuses_ ? fused_attention_saves(body) : std::nullopt;
  }
  // One column a lane and short chains: some thousand warps, or memory would wait for few. Sixteen lanes share each
  // column of the last sums.
  ColumnTeams column_teams(size_t rows, int columns) const override {
    const size_t slices = (size_t(columns) + 31) / 32;
    return {.rows = int(std::clamp<size_t>(rows * slices / 8192, 8, 64)),
            .whole_rows = int(std::clamp<size_t>(rows / 2048, 8, 32)),
            .columns = 32,
            .last = 2};
  }
  bool keeps_rounded_weights() const override { return true; }
  size_t spare_memory() const override { return spare_; }

  void run(std::type_index body, size_t n, const void* fields) override {
    if (n == 0) return;
    const auto kernel = launchers_.find(body);
    if (kernel == launchers_.end())
      fail(ExitCode::failed, "cuda: kernel {} is not in engine/kernels.h", demangled(body));
    gpu::check(kernel->second(n, fields, compute_.get()), body);
  }
  void run_tiles(const TilesBody& body) override {
    if (body.images == 0) return;
    if (fuses(body)) return gpu::check(launch_fused_attention(body, compute_.get()), body.type);
    const int most = tile_.images(body.queries, body.keys);
    for (int h = 0; h < body.heads; h++)
      for (int b = 0; b < body.images; b += most) body(tile_, h, b, std::min(most, body.images - b));
  }

 private:
  // Pinned memory, twice: one half fills while the other is on its way.
  class Uploads {
   public:
    explicit Uploads(cudaStream_t compute)
        : compute_(compute), stream_(gpu::make_stream()), started_(gpu::make_event()), arrived_(gpu::make_event()) {
      for (Half& half : halves_) half = {gpu::make_pinned(half_bytes), gpu::make_event()};
    }
    ~Uploads() { cudaStreamSynchronize(stream_.get()); }
    void wait_for_compute() {
      CUDA_CALL(cudaEventRecord(started_.get(), compute_));
      CUDA_CALL(cudaStreamWaitEvent(stream_.get(), started_.get(), 0));
    }
    void copy(void* device, const void* host, size_t bytes) {
      for (size_t done = 0; done < bytes; done += half_bytes) {
        Half& half = halves_[next_ ^= 1];
        const size_t part = std::min(half_bytes, bytes - done);
        CUDA_CALL(cudaEventSynchronize(half.copied.get()));
        std::memcpy(half.memory.get(), static_cast<const char*>(host) + done, part);
        CUDA_CALL(cudaMemcpyAsync(static_cast<char*>(device) + done, half.memory.get(), part, cudaMemcpyHostToDevice,
                                  stream_.get()));
        CUDA_CALL(cudaEventRecord(half.copied.get(), stream_.get()));
      }
      CUDA_CALL(cudaEventRecord(arrived_.get(), stream_.get()));
      CUDA_CALL(cudaStreamWaitEvent(compute_, arrived_.get(), 0));
    }

   private:
    static constexpr size_t half_bytes = size_t(16) << 20;
    struct Half { gpu::PinnedMemory memory; gpu::Event copied; };
    cudaStream_t compute_;
    gpu::Stream stream_;
    gpu::Event started_, arrived_;
    Half halves_[2];
    int next_ = 0;
  };

  // A tile is a chunk of the batch, one head of it, as large as the workspace allows.
  class CudaTile final : public Tile {
   public:
    CudaTile(Cuda& device, size_t workspace) : device_(device), scores_(workspace / (4 * sizeof(real))) {}
    int query_rows(int Lq, int L) const override { return int(std::clamp<size_t>(scores_ / L, 1, Lq)); }
    int images(int Lq, int L) const { return int(std::max<size_t>(1, scores_ / (size_t(query_rows(Lq, L)) * L))); }
    real* scratch(int i, size_t n) override { return static_cast<real*>(slots_[i].at_least(n * sizeof(real))); }
    Operand operand(const real* x, size_t) override { return x; }
    void gemm(const Gemm& product) override { device_.gemm(product); }
    void run(std::type_index body, size_t n, const void* fields) override { device_.run(body, n, fields); }
    // A probe reads in host memory, image by image.
    void show(AttentionProbe& probe, int images, const AttentionTile& tile) override {
      const size_t n = size_t(tile.rows) * tile.L;
      const real* const maps[] = {tile.S, tile.A, tile.dA, tile.dS};
      for (int k = 0; k < 4; k++) {
        if (!maps[k]) continue;
        shown_[k].resize(images * n);
        device_.download(shown_[k].data(), maps[k], images * n * sizeof(real));
      }
      for (int i = 0; i < images; i++) {
        auto map = [&](int k) { return maps[k] ? shown_[k].data() + i * n : nullptr; };
        AttentionTile here = tile;
        here.image += i;
        here.S = map(0), here.A = map(1), here.dA = map(2), here.dS = map(3);
        probe.tile(here);
      }
    }

   private:
    Cuda& device_;
    size_t scores_;                                  // in one slot
    gpu::Buffer slots_[4];
    std::vector<real> shown_[4];
  };

  static size_t total_memory() {
    size_t free = 0, total = 0;
    CUDA_CALL(cudaMemGetInfo(&free, &total));
    return total;
  }
  static std::string find_device() {
    int count = 0;
    if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0)
      fail(ExitCode::failed, "cuda: no GPU can be used: {}; install a GPU and its driver, or use --device cpu",
           status ? cudaGetErrorString(status) : "none was found");
    cudaDeviceProp properties{};
    CUDA_CALL(cudaSetDevice(0));
    CUDA_CALL(cudaGetDeviceProperties(&properties, 0));
    if (properties.major < 8)
      fail(ExitCode::failed, "cuda: {} is sm_{}{}, expected sm_80 or later; use --device cpu", properties.name,
           properties.major, properties.minor);
    return fmt::format("{}, sm_{}{}, {} MiB", properties.name, properties.major, properties.minor,
                       properties.totalGlobalMem >> 20);
  }

  std::string name_;
  size_t spare_;
  gpu::Stream compute_;
  std::unordered_map<std::type_index, Launcher> launchers_;
  bool rounds_, fuses_;
  mutable CudaProducts products_;                    // finds algorithms when it is asked whether there are any
  Uploads uploads_;
  CudaTile tile_;
};

}  // namespace

std::unique_ptr<Device> make_cuda(const CudaOptions& options) { return std::make_unique<Cuda>(options); }
