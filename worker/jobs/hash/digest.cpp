#include "worker/jobs/hash/digest.h"

#include <openssl/evp.h>

#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {

Bytes digest(std::string_view algorithm, ByteSpan data) {
  const EVP_MD* method = EVP_get_digestbyname(std::string(algorithm).c_str());
  if (method == nullptr) throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL has no such digest");
  Bytes out(static_cast<std::size_t>(EVP_MD_get_size(method)));
  if (EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr, method, nullptr) != 1) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL failed to digest");
  }
  return out;
}

}  // namespace quern::hash
