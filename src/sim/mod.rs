//! The same engine in a box: hosts, links and a clock that jumps.
