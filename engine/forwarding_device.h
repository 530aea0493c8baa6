// A device that passes everything on to another: the base of those that measure or count.
// defines: ForwardingDevice
#pragma once
#include "engine/device.h"

class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(Device& inner) : inner_(inner) {}
  std::string description() const override { return inner_.description(); }
  void* allocate(size_t bytes) override { return inner_.allocate(bytes); }
  void release(void* memory) override { inner_.release(memory); }
  size_t slab(size_t held) const override { return inner_.slab(held); }
  bool is_host() const override { return inner_.is_host(); }
  void upload(void* device, const void* host, size_t bytes) override { inner_.upload(device, host, bytes); }
  void upload_early(void* device, const void* host, size_t bytes) override { inner_.upload_early(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { inner_.download(host, device, bytes); }
  void gemm(const Gemm& product) override { inner_.gemm(product); }
  size_t packed_bytes(int n, int k) const override { return inner_.packed_bytes(n, k); }
  void pack(void* to, const real* w, int n, int k) override { inner_.pack(to, w, n, k); }
  bool rounds_operands() const override { return inner_.rounds_operands(); }
  bool fuses_attention() const override { return inner_.fuses_attention(); }
  std::optional<size_t> fuses(const TilesBody& body) const override { return inner_.fuses(body); }
  ColumnTeams column_teams(size_t rows, int columns) const override { return inner_.column_teams(rows, columns); }
  bool keeps_rounded_weights() const override { return inner_.keeps_rounded_weights(); }
  size_t spare_memory() const override { return inner_.spare_memory(); }
  void run(std::type_index body, size_t n, const void* fields) override { inner_.run(body, n, fields); }
  void run_tiles(const TilesBody& body) override { inner_.run_tiles(body); }
  bool keeps_pieces(const Gemm& p, std::type_index body, const void* fields) const override {
    return inner_.keeps_pieces(p, body, fields);
  }
  void gemm_then(const Gemm& p, std::type_index body, const void* fields) override {
    inner_.gemm_then(p, body, fields);
  }

 protected:
  Device& inner_;
};
