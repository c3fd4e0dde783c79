#include "worker/jobs/hash/digest.h"

#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

void check(int done) {
  if (done != 1) throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL failed to digest");
}

}  // namespace

Digest::Digest(std::string_view algorithm) : context_(EVP_MD_CTX_new()) {
  if (!context_) throw std::bad_alloc();
  const EVP_MD* method = EVP_get_digestbyname(std::string(algorithm).c_str());
  if (method == nullptr) throw sdk::JobError(sdk::JobErrorCode::kInternal, "OpenSSL has no such digest");
  check(EVP_DigestInit_ex(context_.get(), method, nullptr));
}

void Digest::update(ByteSpan data) { check(EVP_DigestUpdate(context_.get(), data.data(), data.size())); }

SecretBytes Digest::finish() {
  SecretBytes out(static_cast<std::size_t>(EVP_MD_CTX_get_size(context_.get())));
  check(EVP_DigestFinal_ex(context_.get(), unsigned_data(out), nullptr));
  return out;
}

}  // namespace quern::hash
