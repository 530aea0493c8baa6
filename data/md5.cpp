#include "data/md5.h"

#include <openssl/evp.h>

#include "engine/error.h"

Md5 md5(std::span<const uint8_t> bytes) {
  Md5 digest;
  if (!EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_md5(), nullptr))
    fail(ExitCode::failed, "this machine's OpenSSL refuses MD5, as in FIPS mode; allow it");
  return digest;
}

Md5 md5(std::string_view text) { return md5({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }
