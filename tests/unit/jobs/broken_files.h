// What every decoder promises of files that are broken: a picture or an error, little memory, and an end.
#pragma once

#include "tests/unit/jobs/pictures.h"

namespace quern::image {

// All frames, with nothing that can be forgiven refused; throws what the decoder does. The last one.
[[nodiscard]] cv::Mat decode_forgiving(std::span<const std::byte> file);

// Every prefix, at every level of forgiveness, is a picture or an error.
void expect_survives_cutting(const File& file);
// So is the file with random bytes changed, `rounds` times; always the same ones.
void expect_survives_changes(const File& file, int rounds);
// The header of a file that claims to be this large is read, and takes no memory to speak of.
void expect_claim_is_free(const File& file, std::uint32_t width, std::uint32_t height);
// Whenever the job is cancelled while the file is decoded, that ends with kCancelled.
void expect_decoding_stops(const File& file);

}  // namespace quern::image
