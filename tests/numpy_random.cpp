// The numbers and permutations of NumpyRandom against those of NumPy 2.4.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <numeric>
#include "models/numpy_random.h"

TEST_SUITE_BEGIN("numpy random");

using Values = std::vector<int64_t>;

// FNV-1a of arange(size), permuted
static uint32_t permuted(NumpyRandom& random, int size) {
  Values values(size);
  std::iota(values.begin(), values.end(), 0);
  uint32_t hash = 2166136261;
  for (int64_t value : random.permutation(values)) hash = (hash ^ uint32_t(value)) * 16777619;
  return hash;
}

TEST_CASE("words") {
  NumpyRandom zero(0), last(0xffffffffffffffff);
  for (uint64_t word : {0xa30febcfd9c2825fu, 0x4510bdf882d9d721u, 0x0a7d3da94ecde8b8u}) CHECK(zero.bits() == word);
  for (uint64_t word : {0xae163a7a8c47568fu, 0xd86659f5f3382359u, 0x01e52b195bc2d24au}) CHECK(last.bits() == word);
}

TEST_CASE("permutations one after the other, read out") {
  NumpyRandom random(0);
  CHECK(random.permutation({3, 7, 9, 12, 20}) == Values{9, 20, 12, 3, 7});
  CHECK(random.permutation({1, 2, 4}) == Values{4, 1, 2});
}

TEST_CASE("no value and one value take no number") {
  NumpyRandom random(0);
  CHECK(random.permutation({}) == Values{});
  CHECK(random.permutation({8}) == Values{8});
  CHECK(random.bits() == 0xa30febcfd9c2825f);
}

// Per seed: permutations of 2, 3, 5, 8, 9, 17, 33, 100, 257 and 1300 values from one generator, by their hashes.
static const struct { uint64_t seed; const char* hashes; } permutations[] = {
  {0, "1076963a c77e5cba c7fcc3d9 a70af0c5 291c5ec7 a20f0bdf fba80af7 8906c2a3 8d8dfc35 deef513d"},
  {1, "1076963a 22ae7a28 fd94de53 f3e791a9 45dfa97f 784123b1 a4ef7e4b 0435115d 8d979e8b 3c60e21f"},
  {2, "1076963a 57cf393e dd7e13bf 7f59c895 69252b35 2d453183 40d87127 d68554a5 e6e51707 5b2772c9"},
  {3, "eb741d64 fdac0152 fced2559 b275c345 0ddc3269 31d64fe5 41656cc1 586a168b 1cadf3a9 1ba49713"},
  {4, "eb741d64 c77e5cba 0785f10b fde99fdd e93915e7 705768d9 7d2918dd 5b33fa8f 00855043 89abebab"},
  {5, "eb741d64 22ae7a28 e2837835 ab504337 68c2bde7 736deaef 2a59d665 c199ac0f 97b0f605 b8b89acd"},
  {6, "eb741d64 fdac0152 118e12c3 8c57037d 9c35bc11 961ae401 b87f966f 6ac7befd 5b9563bb 6cec4699"},
  {7, "1076963a fdac0152 3af8ef2d b2adf24d 69c4733d 38d58cad e1c70047 3f7dedf7 790a6e65 214eebcd"},
  {8, "eb741d64 22ae7a28 c16b91a5 3e66077f 2f17a7fd 3b336875 080c7aeb 5c215cbd fe0d67cb 59bd08d1"},
  {9, "1076963a 0dca4792 60df685d 4ef1d523 babc4b57 e5be5457 c832f857 3b96612d f38ec525 a1144c2d"},
  {10, "eb741d64 c77e5cba c4e53cc7 14d0997b fdf970ad bf6e21e5 89bed647 df855167 64fa417b 24bf70a7"},
  {11, "eb741d64 a27be3e4 a67f2735 cdd37c99 7954c4f5 2aee98b5 82a573b1 e9645fdd 594c6609 88522c4b"},
  {12, "eb741d64 57cf393e 456ca2c3 f0ef32d1 67a555ab 69541631 cadc6cad 8f6b72dd fa919631 ea0ea09f"},
  {13, "eb741d64 fdac0152 43e0c92b d060cb4d 330fd35b ce4f2ce5 ee389f09 6b6436d7 2c69e759 79854acd"},
  {14, "1076963a 22ae7a28 b4fa686f 4d9b5def 8c525fa5 89b83c2f 86340cd3 87b72f53 0125dd07 60d27f85"},
  {15, "1076963a fdac0152 04adb9d1 850be899 13bcbe0d 41b7166f 21298557 73933c59 f1f6a809 c47bd167"},
  {16, "eb741d64 0dca4792 4ba15da3 41be8fe5 94be5395 f714fe01 a6e63435 021caf43 c428f29d 8b894e69"},
  {17, "1076963a fdac0152 ee13b563 4324ba6d 1d49f72d 838c2bed eadb6881 c013716f 8e8f86b1 51611013"},
  {42, "eb741d64 fdac0152 1c9baf13 11bb2bdd 2151fbcf 2b51231d f2c032bf 3a3b040d 38c502a5 bbdff145"},
  {1000, "1076963a fdac0152 8f50369f 90a41c4f c64d522b 3f80a1ab 95a672fb b7a0854d a2ece257 e2f74ecd"},
  {65535, "1076963a c77e5cba f232052d ef36b709 67a68b21 a7e23b4b c1de898b fdac8f59 aacb8c55 dde38229"},
  {0x75bcd15, "eb741d64 a27be3e4 1c9baf13 85127645 672fd92b 701ea9b5 9bbb16e9 4003d06f a1a9d901 ff538727"},
  {0x80000000, "1076963a 0dca4792 72f63c15 474579db c9c47ed3 d594b725 9a8204bf 0390b421 698f62e9 27d69b9f"},
  {0xffffffff, "1076963a c77e5cba 747a6e11 7a1d5a15 559aea45 3f401c33 a7d884db 1beba3d1 8265be51 b061ceaf"},
  {0x100000000, "1076963a 0dca4792 744e8381 a2e93c53 b8798495 0ffe8c61 e9ac1483 9b839fd9 16e33d6f 696db3c3"},
  {0x100000001, "1076963a c77e5cba 56985811 0918f5fb af4e7af7 9295ff01 a0de735f 7b55872d af0102e7 842888a3"},
  {0x10000000005, "1076963a 0dca4792 415a5931 6ba1fffb c5fe320f 42a0457b 5c04ea2b 03d1a259 d6c1b97f 7f7b7d15"},
  {0x20000000000000, "1076963a fdac0152 bd3a8973 540ed0c7 e6ee3207 fea707fb 3a88879d 465f3b9d 47ca3567 26b52d61"},
  {0x8000000000000000, "1076963a a27be3e4 bd3a8973 3d50cb23 4281576b e5903453 9ac60455 f0d94f5f e3cc0f6d 8f08dfdd"},
  {0xffffffffffffffff, "1076963a 22ae7a28 384904a5 6632b00d 508a2489 df639619 ba9af6a7 200827c1 835669a5 837654cb"},
};

TEST_CASE("300 permutations") {
  for (const auto& [seed, expected] : permutations) {
    NumpyRandom random(seed);
    std::string hashes;
    for (int size : {2, 3, 5, 8, 9, 17, 33, 100, 257, 1300}) hashes += fmt::format(" {:08x}", permuted(random, size));
    INFO("seed " << seed);
    CHECK(hashes.substr(1) == expected);
  }
}

TEST_SUITE_END();
