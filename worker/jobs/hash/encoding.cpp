#include "worker/jobs/hash/encoding.h"

#include <sodium.h>

#include <string>

#include "worker/sdk/job.h"

namespace quern::hash {
namespace {

SecretText base64(ByteSpan bytes, int variant) {
  SecretText text(sodium_base64_encoded_len(bytes.size(), variant));
  sodium_bin2base64(text.data(), text.size(), raw(bytes), bytes.size(), variant);
  text.pop_back();  // the terminator
  return text;
}

[[noreturn]] void refuse(std::string_view field, std::string_view encoding) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                      std::string(field) + " is not valid " + std::string(encoding), std::string(field));
}

}  // namespace

SecretText to_hex(ByteSpan bytes) {
  SecretText text(bytes.size() * 2 + 1);
  sodium_bin2hex(text.data(), text.size(), raw(bytes), bytes.size());
  text.pop_back();
  return text;
}

SecretText to_base64(ByteSpan bytes) { return base64(bytes, sodium_base64_VARIANT_ORIGINAL); }
SecretText to_base64_unpadded(ByteSpan bytes) { return base64(bytes, sodium_base64_VARIANT_ORIGINAL_NO_PADDING); }

Bytes from_hex(std::string_view text, std::string_view field) {
  if (text.empty()) return {};
  Bytes bytes(text.size() / 2 + 1);  // never without memory: libsodium takes no null
  std::size_t length = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(), text.size(), nullptr,
                     &length, &end) != 0 ||
      end != text.data() + text.size()) {
    refuse(field, "hex");
  }
  bytes.resize(length);
  return bytes;
}

Bytes from_base64(std::string_view text, std::string_view field) {
  if (text.empty()) return {};
  const int variant = text.ends_with('=') ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
  Bytes bytes(text.size() + 1);  // never without memory: libsodium takes no null
  std::size_t length = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(), text.size(), nullptr,
                        &length, &end, variant) != 0 ||
      end != text.data() + text.size()) {
    refuse(field, "base64");
  }
  bytes.resize(length);
  return bytes;
}

}  // namespace quern::hash
