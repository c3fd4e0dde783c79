// How far something is, as one line of a terminal. Pure: numbers and a width in, text out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "ipc/wire.h"

namespace quern::cli {

// How much longer it takes at the pace so far. Nothing while that would be a guess: in the first second, before a
// fiftieth is done, and when the end is not known.
[[nodiscard]] std::optional<std::chrono::milliseconds> time_left(std::uint64_t done, std::uint64_t total,
                                                                 std::chrono::milliseconds elapsed);

// 100 only for the whole of it. `total` is not 0.
[[nodiscard]] int percent_of(std::uint64_t done, std::uint64_t total) noexcept;
// "[=======>      ]" of `columns` columns, or nothing when there is no room to tell anything by it.
[[nodiscard]] std::string bar_text(std::uint64_t done, std::uint64_t total, std::size_t columns);
// One of four characters that follow each other while time passes.
[[nodiscard]] char spinner(std::chrono::milliseconds elapsed);

// A job's bar, at most `columns` wide; the message is made printable:
//     " 43% [=======>        ] 43/100  12.0s left  encoding"     its total is known
//     "| done 43  4.2s  encoding"                                it is not
//     "| 4.2s"                                                   the job has told nothing yet
[[nodiscard]] std::string progress_bar(const wire::Progress& progress, std::chrono::milliseconds elapsed,
                                       std::size_t columns);
// The same as a line of a log: "43% 43/100 encoding".
[[nodiscard]] std::string progress_line(const wire::Progress& progress);

}  // namespace quern::cli
