// Plain digests, by OpenSSL: SHA-2 and SHA-3 (FIPS 180-4, 202), BLAKE2 (RFC 7693).
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string_view>

#include "worker/jobs/hash/encoding.h"

namespace quern::hash {

// update() any number of times, then finish() once.
class Digest {
 public:
  explicit Digest(std::string_view algorithm);
  void update(ByteSpan data);
  [[nodiscard]] SecretBytes finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace quern::hash
