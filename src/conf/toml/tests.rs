//! How documents are read.
