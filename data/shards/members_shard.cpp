// Files and archives of people, as one shard without labels.
#include "data/members.h"
#include "data/shards/shard.h"

namespace {
class MembersShard : public Shard {
 public:
  explicit MembersShard(std::shared_ptr<const Members> members) : Shard(""), members_(std::move(members)) {}

  Scan scan() const override {
    Scan scan;
    const int32_t none = scan.add_label_set({});
    for (size_t k = 0; k < members_->all().size(); k++)
      scan.samples.push_back({.offset = k, .header = 0, .size = 0, .label = none});
    return scan;
  }
  std::string name_of(const Scan& scan, size_t sample) const override { return member(scan, sample).path; }
  std::string where(const Scan& scan, size_t sample) const override { return member(scan, sample).where; }
  void read(const Scan& scan, size_t sample, std::vector<uint8_t>& bytes) const override {
    const std::string text = members_->read(member(scan, sample));
    bytes.assign(text.begin(), text.end());
  }

 private:
  const Member& member(const Scan& scan, size_t sample) const { return members_->all()[scan.samples[sample].offset]; }

  std::shared_ptr<const Members> members_;
};
}

std::shared_ptr<const Shard> shard_of_members(std::shared_ptr<const Members> members) {
  return std::make_shared<const MembersShard>(std::move(members));
}
