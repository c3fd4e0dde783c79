// PHC strings: $id[$v=version]$name=value,...$salt$hash, salt and hash in unpadded base64 (the
// password-hashing-competition string format). Ours:
//
//     $scrypt$ln=14,r=8,p=1$SALT$HASH            ln is log2 N
//     $pbkdf2-sha256$i=600000,l=32$SALT$HASH
//     $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH
#pragma once

#include <string_view>

#include "worker/jobs/hash/encoding.h"
#include "worker/jobs/hash/kdf.h"

namespace quern::hash {

[[nodiscard]] SecretText format_scrypt(const ScryptParams& params, ByteSpan salt, ByteSpan key);
[[nodiscard]] SecretText format_pbkdf2(const Pbkdf2Params& params, ByteSpan salt, ByteSpan key);
[[nodiscard]] SecretText format_argon2id(const Argon2Params& params, ByteSpan salt, ByteSpan key);

// Whether `hash`, any of the above or a bcrypt hash, is of this password; in constant time once the
// parameters are read. Throws sdk::JobError(kInvalidArgument, field "hash") for a string that is none
// of them, or that asks for more than the kinds themselves allow: a stored hash is input, too.
[[nodiscard]] bool verify(ByteSpan password, std::string_view hash);

}  // namespace quern::hash
