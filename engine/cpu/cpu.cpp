#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <concepts>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <numeric>
#include <unordered_map>
#include "engine/cpu/gemm.h"
#include "engine/cpu/sharing.h"
#include "engine/cpu/thread_team.h"
#include "engine/error.h"
#include "engine/kernels.h"
#include "engine/machine.h"
#include "engine/text.h"

// There in a program that has the sanitizer, in whichever of its parts.
extern "C" {
[[gnu::weak]] void __asan_init();
[[gnu::weak]] void __tsan_init();
}

namespace {

// Rows of a body, in a loop.
using RowKernels = std::unordered_map<std::type_index, void (*)(size_t n, const void* fields)>;

template <class Table> auto find(const Table& table, std::type_index body) {
  const auto entry = table.find(body);
  if (entry == table.end()) fail(ExitCode::failed, "cpu: kernel {} is not in engine/kernels.h", demangled(body));
  return entry->second;
}

// One thread, its own scratch memory, products that stay on this thread.
class CpuTile final : public Tile {
 public:
  CpuTile(GemmFunction product, GemmFunction own, bool rounds, const RowKernels& kernels)
      : product_(product), own_(own ? own : product), rounds_(rounds), kernels_(&kernels) {}
  real* scratch(int slot, size_t n) override {
    std::vector<real>& memory = memory_[slot];
    if (memory.size() < n) memory.resize(n);
    return memory.data();
  }
  // Query rows at a time, in equal parts: scores within 192 KiB, or (long rows) enough of them to read keys and values
  // seldom, within 1.3 MiB.
  int query_rows(int Lq, int L) const override {
    const int most = std::max({1, 49152 / L, std::min(96, 340'000 / L)}), tiles = (Lq + most - 1) / most;
    return (Lq + tiles - 1) / tiles;
  }
  Operand operand(const real* x, size_t n) override {
    if (!rounds_) return x;
    if (rounded_.size() < n) rounded_.resize(n);
    run_elements(Round{rounded_.data(), x}, 0, n);
    return rounded_.data();
  }
  // Batch 1: run_tiles() hands out one image at a time. At these widths q kᵀ is faster by the library (measured).
  void gemm(const Gemm& p) override { (p.tb && p.n > 512 && p.n <= 2048 ? product_ : own_)(p); }
  void run(std::type_index body, size_t n, const void* fields) override { find(*kernels_, body)(n, fields); }
  void show(AttentionProbe& probe, int /*images*/, const AttentionTile& tile) override { probe.tile(tile); }

 private:
  GemmFunction product_, own_;
  bool rounds_;
  const RowKernels* kernels_;
  std::vector<real> memory_[4];
  std::vector<bf16> rounded_;
};

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

constexpr const char* simd =
#if defined(__AVX512F__)
    "AVX-512";
#elif defined(__AVX2__)
    "AVX2";
#elif defined(__SSE2__)
    "SSE2";
#else
    "no SIMD";
#endif

class Cpu final : public Device {
 public:
  Cpu(int threads, Precision precision, GemmLibrary library)
      : threads_(threads > 0 ? threads : usable_cores()),
        onednn_(library == GemmLibrary::onednn || (library == GemmLibrary::best && has_onednn)),
        precision_(precision),
        product_(choose(precision, onednn_)),
        tiles_(threads_, CpuTile(product_, own_product(), rounds_operands(), row_kernels_)) {
    if (onednn_ && !has_onednn) fail(ExitCode::failed, "oneDNN is not built in; install libdnnl-dev and build again");
    omp_set_num_threads(1);  // oneDNN asks this outside our parallel regions; its products stay on the calling thread
    for_each_kernel(Kernels{}, [&]<class Body> {
      kernels_[typeid(Body)] = [](Cpu& cpu, size_t n, const void* fields) {
        cpu.launch(n, *static_cast<const Body*>(fields));
      };
      if constexpr (OnRows<Body>)
        row_kernels_[typeid(Body)] = [](size_t n, const void* fields) {
          run_rows(*static_cast<const Body*>(fields), 0, n);
        };
      if constexpr (requires(const Body& body) { body.then; })
        then_[typeid(Body)] = [](Cpu& cpu, const Gemm& p, const void* fields) {
          cpu.in_pieces(p, [&](const Gemm& piece, int i, int j) {
            run_piece(static_cast<const Body*>(fields)->then, piece, i, j);
          });
        };
    });
  }

  std::string description() const override {
    return fmt::format("cpu: {}, {} thread{}, {}, products by {}", cpu_model(), threads_, threads_ == 1 ? "" : "s",
                       simd,
                       (onednn_ ? onednn_name() : eigen_name()) + (precision_ == Precision::f32 ? " in f32"
                                                                   : onednn_ && has_onednn_bf16()
                                                                       ? " in bf16"
                                                                       : " in f32 of inputs rounded to bf16"));
  }

  void* allocate(size_t bytes) override {
    const bool large = bytes >= huge_page;
    const size_t alignment = large ? huge_page : 64, size = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, std::max(size, alignment));
    if (!memory) fail(ExitCode::failed, "out of memory: {} MiB asked for; try a smaller --batch", bytes >> 20);
    // fewer page faults; only advice, and only where all of a page is used
    if (large) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
    return memory;
  }
  void release(void* memory) override { std::free(memory); }
  bool is_host() const override { return true; }
  // Memory that nobody touches is only addresses; sanitizers touch their own notes on all of it.
  size_t slab(size_t held) const override {
    if (__asan_init || __tsan_init) return std::max(held, size_t(16) << 20);
    return size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGESIZE)) / 8;
  }
  void upload(void* device, const void* host, size_t bytes) override { if (bytes) std::memcpy(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { if (bytes) std::memcpy(host, device, bytes); }

  void gemm(const Gemm& p) override {
    for (int i = 0; i < p.batch; i++) {
      Gemm one = p;
      one.c += i * p.step_c;
      if (i) one.a += i * p.step_a, one.b += i * p.step_b;
      in_pieces(one, [](const Gemm&, int, int) {});
    }
  }

  void gemm_then(const Gemm& p, std::type_index body, const void* fields) override {
    find(then_, body)(*this, p, fields);
  }

  // Cut by shape alone, each piece on one thread: the same bits for any number of threads. Large products are cut in a
  // multiple of 8 pieces, which most numbers of threads share evenly; wide pieces are fastest, so rows are cut first,
  // but for aᵀ b wider than it is high: each piece puts its parts of a and b in order, and square pieces have the least
  // of both. oneDNN is fastest where it writes whole rows: beside packed weights it must, for x Wᵀ in f32 it does if
  // there are enough of them. Calls done(piece, first row, first column) on the piece's thread.
  template <class Done> void in_pieces(const Gemm& p, Done done) {
    const bool whole_rows = p.b.packed || (onednn_ && precision_ == Precision::f32 && p.tb && !p.ta && p.m >= 8 * 96);
    int m_tiles = pieces(p.m, 512), n_tiles = whole_rows ? 1 : pieces(p.n, 768);
    if (2.0 * p.m * p.n * p.k > 2e7) {
      const bool columns_first = p.ta && p.n > p.m;
      int &first = columns_first ? n_tiles : m_tiles, unit = 8 / std::gcd(8, columns_first ? m_tiles : n_tiles);
      first = (first + unit - 1) / unit * unit;
      while (whole_rows && m_tiles % 2 == 0 && p.m / m_tiles < 24) m_tiles /= 2;
      while (!whole_rows && m_tiles % 2 == 0 && p.m / m_tiles < 96 && p.n / n_tiles > 96) m_tiles /= 2, n_tiles *= 2;
    }
    int m = part(p.m, m_tiles), n = part(p.n, n_tiles);
    if (whole_rows && m < 256) m = (p.m + m_tiles - 1) / m_tiles;        // equal parts count more than whole registers
    const size_t tiles = size_t(m_tiles) * n_tiles;
    parallel(0, tiles, tiles > 1 ? threads_ : 1, [&](size_t tile, int thread) {
      const int i = int(tile) % m_tiles * m, j = int(tile) / m_tiles * n;
      if (i >= p.m || j >= p.n) return;
      Gemm piece = p;
      piece.m = std::min(m, p.m - i);
      piece.n = std::min(n, p.n - j);
      piece.lda = p.stride_a(), piece.ldb = p.stride_b(), piece.ldc = p.stride_c();
      piece.a += p.ta ? i : size_t(i) * piece.lda;
      if (!p.b.packed) piece.b += p.tb ? size_t(j) * piece.ldb : j;
      if (p.c) piece.c += size_t(i) * piece.ldc + j;
      else piece.c = tiles_[thread].scratch(0, size_t(piece.m) * piece.n), piece.ldc = piece.n;
      product_(piece);
      done(piece, i, j);
    });
  }

  size_t packed_bytes(int n, int k) const override {
    return onednn_ && (precision_ == Precision::bf16) == rounds_operands()
               ? onednn_packed_bytes(n, k, rounds_operands())
               : 0;
  }
  void pack(void* to, const real* w, int n, int k) override { onednn_pack(to, w, n, k, rounds_operands()); }

  bool keeps_pieces(const Gemm&, std::type_index, const void*) const override { return true; }
  bool rounds_operands() const override { return precision_ == Precision::bf16 && onednn_ && has_onednn_bf16(); }

  void run(std::type_index body, size_t n, const void* fields) override {
    const auto kernel = find(kernels_, body);
    if (n > 0) kernel(*this, n, fields);
  }
  void run_tiles(const TilesBody& body) override {
    sharing_(body.type, size_t(body.images) * body.heads, [&](size_t first, size_t end, int threads) {
      parallel(first, end, threads,
               [&](size_t i, int thread) { body(tiles_[thread], int(i) % body.heads, int(i) / body.heads, 1); });
    });
  }

 private:
  static constexpr size_t huge_page = size_t(2) << 20;
  static int pieces(int n, int most) { return std::max(1, (n + most / 2) / most); }
  static int part(int n, int pieces) { return ((n + pieces - 1) / pieces + 15) / 16 * 16; }  // whole SIMD registers

  static GemmFunction choose(Precision precision, bool onednn) {
    if (precision == Precision::f32) return onednn ? gemm_onednn : gemm_eigen;
    if (!onednn) return [](const Gemm& p) { gemm_rounded(p, gemm_eigen); };
    if (!has_onednn_bf16()) return [](const Gemm& p) { gemm_rounded(p, gemm_onednn); };
    return gemm_onednn_bf16;
  }

  GemmFunction own_product() const {
    return onednn_ && (precision_ == Precision::f32 || rounds_operands()) ? tile_product(rounds_operands()) : nullptr;
  }

  template <class Body> void launch(size_t n, const Body& fields) {
    if constexpr (OnRows<Body>) {
      sharing_(typeid(Body), n, [&fields](size_t first, size_t end, int threads) {
        if (threads == 1) return run_rows(fields, first, end);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (size_t row = first; row < end; row++) run_row(fields, row);
      });
    } else {
      constexpr size_t block = 8192;
      sharing_(typeid(Body), (n + block - 1) / block, [&fields, n](size_t first, size_t end, int threads) {
        if (threads == 1) return run_elements(fields, first * block, std::min(n, end * block));
#pragma omp parallel for schedule(static) num_threads(threads)
        for (size_t k = first; k < end; k++) run_elements(fields, k * block, std::min(n, (k + 1) * block));
      });
    }
  }

  // Calls work(i, thread) for every i in [first, end). An exception leaves the parallel region only after its end.
  template <class Work> static void parallel(size_t first, size_t end, int threads, Work work) {
    if (threads == 1) {  // without a region: to begin one takes as long as a short pass
      for (size_t i = first; i < end; i++) work(i, 0);
      return;
    }
    std::exception_ptr error;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = first; i < end; i++) {
      try {
        work(i, omp_get_thread_num());
      } catch (...) {
#pragma omp critical(relucent_error)
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
  }

  int threads_;
  Sharing sharing_{threads_};
  bool onednn_;
  Precision precision_;
  GemmFunction product_;
  RowKernels row_kernels_;
  std::vector<CpuTile> tiles_;
  std::unordered_map<std::type_index, void (*)(Cpu&, size_t, const void*)> kernels_;
  std::unordered_map<std::type_index, void (*)(Cpu&, const Gemm&, const void*)> then_;
};

}  // namespace

std::unique_ptr<Device> make_cpu(int threads, Precision precision, GemmLibrary library) {
  return std::make_unique<Cpu>(threads, precision, library);
}
