// What a device can do, on one screen. Pointers are device pointers, matrices row-major, shapes in brackets.
// A kernel is a body: a small struct with operator(), written once and run by either device:
//   each   operator()(size_t i)               one element
//   rows   operator()(Team team, size_t row)  one row, by a team: a CPU thread with SIMD loops, or a CUDA warp
//   tiles  operator()(Tile& tile, int head, int first_image, int images)
//     products and rows on a piece of attention, in host code
// Those of each and rows are listed in engine/kernels.h, from which each device makes its table.
// defines: Operand, Gemm, AfterProduct, Tile, TilesBody, ColumnTeams, Device, GemmLibrary, Precision, make_cpu,
//   CudaOptions, make_cuda, DeviceOptions, make_device
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <typeindex>
#include "engine/bf16.h"
#include "engine/tensor.h"

// An input of a product: reals, or (where Device::rounds_operands()) values that were rounded to bfloat16 already, or
// as b what Device::pack() made of them.
struct Operand {
  const real* full = nullptr;
  const bf16* rounded = nullptr;
  const void* packed = nullptr;
  Operand(const real* values) : full(values) {}
  Operand(const bf16* values) : rounded(values) {}
  static Operand from_packed(const void* memory) {
    Operand x(static_cast<const real*>(nullptr));
    x.packed = memory;
    return x;
  }
  void operator+=(size_t n) {
    if (packed) fail(ExitCode::failed, "operand: packed values have no order in which to take {} off the front", n);
    if (full) full += n;
    else rounded += n;
  }
};

// c[m,n] = alpha op(a)[m,k] op(b)[k,n] + beta c
// op transposes what is stored as [k,m] (ta) or [n,k] (tb). A row of a, b, c starts every lda, ldb, ldc elements (0:
// contiguous). With batch > 1: as many products, the matrices of one step_a, step_b, step_c elements after those of the
// one before.
struct Gemm {
  real* c;
  Operand a, b;
  int m, n, k;
  bool ta = false, tb = false;
  real alpha = 1, beta = 0;
  int lda = 0, ldb = 0, ldc = 0;
  int batch = 1;
  size_t step_a = 0, step_b = 0, step_c = 0;
  int stride_a() const { return lda ? lda : ta ? m : k; }
  int stride_b() const { return ldb ? ldb : tb ? k : n; }
  int stride_c() const { return ldc ? ldc : n; }
};

// What comes after a product, as a kernel of its own: then(team, row, first column, columns, those of the product's
// row).
template <class Then> struct AfterProduct {
  Then then; real* c; int n, stride;
  template <class Team> HD void operator()(Team team, size_t row) const { then(team, row, 0, n, c + row * stride); }
};

struct AttentionProbe;                               // both in engine/attention/probe.h
struct AttentionTile;

// What a tiles body works with, for some images of one head (CPU: one image).
class Tile {
 public:
  virtual real* scratch(int slot, size_t n) = 0;  // of 4 slots; until the next request for the same
  virtual int query_rows(int Lq, int L) const = 0;                            // so many at a time against L keys
  virtual Operand operand(const real* x, size_t n) = 0;  // x[n] as input of more than one product; until the next call
  virtual void gemm(const Gemm& product) = 0;
  virtual void run(std::type_index body, size_t n, const void* fields) = 0;   // through rows below
  virtual void show(AttentionProbe& probe, int images, const AttentionTile& tile) = 0;
  template <class Body> void rows(size_t n, const Body& body) { run(typeid(Body), n, &body); }

 protected:
  ~Tile() = default;
};

// A tiles body, its type forgotten. A slot holds up to query_rows(queries, keys) x keys numbers an image.
struct TilesBody {
  template <class Body>
  explicit TilesBody(const Body& body)
      : type(typeid(Body)),
        fields(&body),
        images(body.images()),
        heads(body.heads()),
        queries(body.queries()),
        keys(body.keys()),
        run([](const void* fields, Tile& tile, int head, int first_image, int images) {
          (*static_cast<const Body*>(fields))(tile, head, first_image, images);
        }) {}
  void operator()(Tile& tile, int head, int first_image, int count) const {
    run(fields, tile, head, first_image, count);
  }
  std::type_index type;
  const void* fields;
  int images, heads, queries, keys;
  void (*run)(const void* fields, Tile& tile, int head, int first_image, int images);
};

// How sums over rows are divided: a team has at most `columns` columns of `rows` rows, or all columns of
// `whole_rows`; then one sums `last` columns of all those.
struct ColumnTeams { int rows = 128, whole_rows = 128, columns = 1 << 30, last = 1 << 30; };

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string description() const = 0;                     // for the start block: what runs, with which library
  virtual void* allocate(size_t bytes) = 0;                        // 64-byte aligned; fails with the size asked for
  virtual void release(void* memory) = 0;
  // bytes that a pool which holds so many asks for next, where it needs no more
  virtual size_t slab(size_t /*held*/) const { return 0; }
  virtual bool is_host() const { return false; }                   // whether device pointers are host pointers
  // Both return when `host` may be used again. upload waits for what was started before; upload_early need not, so that
  // it may overlap: nothing started before may still use the memory. What is started later sees the values.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  virtual void upload_early(void* device, const void* host, size_t bytes) { upload(device, host, bytes); }
  virtual void download(void* host, const void* device, size_t bytes) = 0;    // waits for what was started before
  virtual void gemm(const Gemm& product) = 0;                                 // the CPU: batch 1
  // w[n,k] in the order in which x wᵀ is fastest, for weights that are multiplied often. 0 bytes: there is no such
  // order.
  virtual size_t packed_bytes(int /*n*/, int /*k*/) const { return 0; }
  virtual void pack(void* /*to*/, const real* /*w*/, int /*n*/, int /*k*/) {}
  // Whether products round their inputs to bfloat16 and take them rounded, so that each value is rounded once.
  virtual bool rounds_operands() const { return false; }
  // Whether attention takes a fused kernel where it applies: its sums round otherwise than with a probe.
  virtual bool fuses_attention() const { return false; }
  // Whether it applies to this one, and then writes what products alone read rounded, and reads o in its backward.
  // What the backward needs of the forward pass beside o: so many numbers.
  virtual std::optional<size_t> fuses(const TilesBody&) const { return {}; }
  virtual ColumnTeams column_teams(size_t /*rows*/, int /*columns*/) const { return {}; }
  // until the step's end, where memory is plenty: each is rounded once
  virtual bool keeps_rounded_weights() const { return false; }
  virtual size_t spare_memory() const { return 0; }  // bytes for what Tape::drop would else give back, to be made again
  virtual void run(std::type_index body, size_t n, const void* fields) = 0;     // through each and rows below
  virtual void run_tiles(const TilesBody& body) = 0;                            // through tiles below

  // Whether c of gemm_then may be null: then its pieces stay where they were made, and only `then` sees them.
  virtual bool keeps_pieces(const Gemm&, std::type_index /*body*/, const void* /*fields*/) const { return false; }
  template <class Then> bool keeps_pieces(const Gemm& p, const Then& then) const {
    const AfterProduct<Then> body{then, nullptr, p.n, p.stride_c()};
    return keeps_pieces(p, typeid(body), &body);
  }
  // The product, then AfterProduct's body on its rows: at once for each piece, while it is in the cache, where pieces
  // have caches.
  virtual void gemm_then(const Gemm& p, std::type_index body, const void* fields) { gemm(p); run(body, p.m, fields); }
  template <class Then> void gemm(const Gemm& p, const Then& then) {
    const AfterProduct<Then> body{then, p.c, p.n, p.stride_c()};
    gemm_then(p, typeid(body), &body);
  }

  template <class Body> void each(size_t n, const Body& body) { run(typeid(Body), n, &body); }
  template <class Body> void rows(size_t n, const Body& body) { run(typeid(Body), n, &body); }
  template <class Body> void tiles(const Body& body) { run_tiles(TilesBody(body)); }
};

// n values in the memory of a device, for as long as this lives; also where a constructor that has it ends early.
template <class T> class DeviceMemory {
 public:
  DeviceMemory(Device& device, size_t n) : device_(device), data_(static_cast<T*>(device.allocate(n * sizeof(T)))) {}
  ~DeviceMemory() { device_.release(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  operator T*() const { return data_; }

 private:
  Device& device_;
  T* data_;
};

enum class GemmLibrary { best, eigen, onednn };
// bf16: the inputs of matrix products are rounded to bfloat16 and accumulated in f32, as on the accelerators of the
// paper; tf32 (CUDA only): to NVIDIA's 19-bit format. Everything else stays f32.
enum class Precision { f32, tf32, bf16 };

// threads = 0: all cores. onednn where it was not built in is an error.
std::unique_ptr<Device> make_cpu(int threads = 0, Precision precision = Precision::f32,
                                 GemmLibrary library = GemmLibrary::best);

struct CudaOptions {
  Precision precision = Precision::f32;
  // where it applies: the functions of the paper in bf16, heads of 32 or 64 channels, nothing learned, no probe
  bool fused_attention = true;
  bool fused_products = true;        // with bias, GELU and its derivative, in bf16: by cuBLASLt's formulas
  size_t spare_memory = size_t(-1);  // at most, and no more than a quarter of the card's; see Device::spare_memory
  size_t workspace = size_t(512) << 20;              // bytes for the scores of tiled attention
};
// The first GPU. A build without CUDA, or a machine without a GPU or driver, is an error that says what to do.
std::unique_ptr<Device> make_cuda(const CudaOptions& options = {});

struct DeviceOptions {
  std::string device = "cpu";                        // or cuda
  int threads = 0;                                   // of the CPU
  Precision precision = Precision::f32;
  bool fused_attention = true, fused_products = true;
};
std::unique_ptr<Device> make_device(const DeviceOptions& options);
