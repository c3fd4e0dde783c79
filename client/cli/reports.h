// What operators are shown of jobs, health and quarantine: the server's documents as lines of text. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>

namespace quern::cli {

// Each throws what Boost.JSON throws when a member that every server sends is missing.
[[nodiscard]] std::string jobs_report(const boost::json::object& jobs);
[[nodiscard]] std::string buffers_report(const boost::json::object& buffers);
[[nodiscard]] std::string health_report(const boost::json::object& health);
[[nodiscard]] std::string quarantine_report(const boost::json::object& quarantine);
[[nodiscard]] std::string quarantine_entry_report(const boost::json::object& entry);

}  // namespace quern::cli
