// One pair of functions a format (BMPs are only read); codec.cpp picks among them. Each format's files are named after
// it.
#pragma once

#include <memory>

#include "worker/jobs/image/codec.h"

namespace quern::image {

namespace jpeg {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace jpeg

namespace png {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace png

namespace webp {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace webp

namespace gif {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace gif

namespace tiff {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace tiff

namespace avif {
// By any of the brands that it says it is compatible with.
[[nodiscard]] bool is_avif(Bytes bytes) noexcept;
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);
}  // namespace avif

namespace bmp {
[[nodiscard]] std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job);
}  // namespace bmp

}  // namespace quern::image
